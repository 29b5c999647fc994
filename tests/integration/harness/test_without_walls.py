"""Where the machine allows no namespaces: the same answers, from files as they lie."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hotplate_tools.console import Console
from hotplate_tools.local.harness import lambda_variables
from hotplate_tools.local.rie import ExecutionEnvironment
from hotplate_tools.local.template import read_template
from hotplate_tools.local.workspace import Workspace
from tests.support.tiny_function import write_tiny_application

if TYPE_CHECKING:
    from pathlib import Path


def test_function_runs_from_write_protected_copies_and_leaves_nothing(tmp_path: Path) -> None:
    template = read_template(write_tiny_application(tmp_path), parameters={}, bucket="b")
    function = template.functions["TinyFunction"]
    with Workspace(Console(), walls=False) as workspace:
        files = workspace.files(function)
        environment = ExecutionEnvironment(function, files, lambda_variables(function, {}))

        def answer(**event: Any) -> Any:
            result = environment.invoke(json.dumps(event).encode())
            assert result.function_error is None, result.payload
            return json.loads(result.payload)

        assert answer(do="describe")["layers"] == ["lower", "upper"]
        seen = answer(do="look")["environment"]
        assert seen["LAMBDA_TASK_ROOT"] == str(files.code)
        assert seen["TMPDIR"].startswith(str(workspace.folder))
        assert "HOME" not in seen
        assert not files.code.stat().st_mode & 0o222
        assert not (files.code / "app.py").stat().st_mode & 0o222
        environment.close()
    assert not workspace.folder.exists()
