"""SnapStart: init once, a snapshot, and hooks before and after it, as awslambdaric does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from hotplate_tools.local.runtime_api import RuntimeApi
from tests.integration.streaming.conftest import BOOTSTRAP, ROOT

PROGRAM = """
import os
from snapshot_restore_py import register_after_restore, register_before_snapshot
seen = ["init"]
for name in "ab":
    register_before_snapshot(seen.append, f"before {name}")
    register_after_restore(seen.append, f"after {name}")
if os.environ.get("FAIL") == "before":
    register_before_snapshot(lambda: 1 / 0)
if os.environ.get("FAIL") == "after":
    register_after_restore(lambda: 1 / 0)

def handler(event, context):
    return {"seen": seen}
"""


def variables(tmp: Path, **more: str) -> dict[str, str]:
    (tmp / "snap.py").write_text(PROGRAM)
    return {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "LAMBDA_TASK_ROOT": str(tmp),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "_HANDLER": "snap.handler",
        **more,
    }


def test_hooks_run_around_the_snapshot_in_their_order(tmp_path: Path) -> None:
    with RuntimeApi() as api, api.start([str(BOOTSTRAP), sys.executable], variables(tmp_path)):
        api.wait_snapshot()
        api.restore()
        seen = json.loads(api.invoke(b"{}"))["seen"]
    assert seen == ["init", "before b", "before a", "after a", "after b"]


def test_a_hook_that_fails_ends_the_environment(tmp_path: Path) -> None:
    for when, phase, kind in (("before", "init", "Init"), ("after", "restore", "AfterRestore")):
        command = [str(BOOTSTRAP), sys.executable]
        with RuntimeApi() as api, api.start(command, variables(tmp_path, FAIL=when)) as environment:
            if when == "after":
                api.wait_snapshot()
                api.restore()
            assert environment.process.wait(20) == {"before": 64, "after": 65}[when]  # awslambdaric's
            record = json.loads(api.errors[f"{phase}/error"])
            assert record["errorType"] == "ZeroDivisionError", kind
