"""ONNX Runtime tells nobody of the models that are served: no uploader, no database, no identifier."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.published import affine_graph

NAME = "ORT_DISABLE_TELEMETRY"
BUILD = """
import json, os, sys, time
from pathlib import Path
from hotplate.runtime.session import Session
Session(Path(sys.argv[1]).read_bytes(), weights={}, threads=1)
time.sleep(0.5)
held = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.exists()]
threads = len(os.listdir("/proc/self/task"))
print(json.dumps([os.environ["ORT_DISABLE_TELEMETRY"], threads, [name for name in held if ".db" in name]]))
"""


def told(program: str, *arguments: str, home: Path, **more: str) -> str:
    environ = {name: value for name, value in os.environ.items() if name != NAME}
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**environ, **places, **more},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_a_session_starts_no_uploader_and_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    graph = tmp_path / "model.onnx"
    graph.write_bytes(affine_graph())
    assert json.loads(told(BUILD, str(graph), home=tmp_path, OPENBLAS_NUM_THREADS="1")) == ["1", 1, []]
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("module", ["hotplate.wiring", "hotplate_tools.cli"])
def test_functions_and_commands_set_it_for_what_they_start(module: str, tmp_path: Path) -> None:
    assert told(f"import os, {module}; print(os.environ['{NAME}'])", home=tmp_path) == "1\n"


def test_who_wants_it_says_so(tmp_path: Path) -> None:
    program = f"import hotplate, os; print(os.environ['{NAME}'])"
    assert told(program, home=tmp_path, **{NAME: "0"}) == "0\n"
