"""Code in Lambda is read-only: bytecode that is missing or stale would be made again at every cold start."""

from __future__ import annotations

import json
import subprocess

from hotplate_tools.console import Console
from hotplate_tools.local.build import build, host_architecture
from hotplate_tools.local.interpreter import find_python

# Run by the Python of the functions, whose bytecode it is. Source: PEP 552 for the header.
PROGRAM = """
import importlib.util as util, json, sys
from pathlib import Path
seen, wrong = 0, []
for folder in map(Path, sys.argv[1:]):
    for source in folder.rglob("*.py"):
        seen += 1
        kept = Path(util.cache_from_source(str(source)))
        if not kept.is_file():
            wrong.append(f"{source} has none")
            continue
        head, body = kept.read_bytes()[:16], source.read_bytes()
        if head[:4] != util.MAGIC_NUMBER:
            wrong.append(f"{source}: for another Python")
        elif head[4:8] != (1).to_bytes(4, "little"):
            wrong.append(f"{source}: compared with its source at each import")
        elif head[8:] != util.source_hash(body):
            wrong.append(f"{source}: of another source")
    for kept in folder.rglob("*.pyc"):
        if not Path(util.source_from_cache(str(kept))).is_file():
            wrong.append(f"{kept}: has no source")
print(json.dumps([seen, wrong]))
"""


def test_all_code_is_compiled_for_good() -> None:
    made = build(Console(as_json=True), architecture=host_architecture())
    folders = [str(made.folder / name) for name in (*made.functions, *made.layers)]
    done = subprocess.run(
        [str(find_python(made.runtime)), "-c", PROGRAM, *folders], capture_output=True, text=True, check=True
    )
    seen, wrong = json.loads(done.stdout)
    assert wrong == []
    assert seen > 500
