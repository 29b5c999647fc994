from __future__ import annotations

import json
import subprocess
import sys

# Every module here is paid for by the first caller of each environment.
# Besides them only what they bring: simdjson's compiled half, and an import that msgspec attempts.
ALLOWED = {"hotplate", "msgspec", "numpy", "orjson", "pybase64", "simdjson"}
BROUGHT = {"csimdjson", "cython_runtime", "typing_extensions"}

PROGRAM = """
import json, sys
before = set(sys.modules)
import hotplate.protocol.request, hotplate.protocol.response
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_codecs_import_nothing_beyond_their_parsers_and_numpy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    imported = {name for name in json.loads(done.stdout) if not name.startswith("_")}
    assert imported - sys.stdlib_module_names - ALLOWED - BROUGHT == set()
    assert {"numpy", "orjson", "simdjson"} <= imported
