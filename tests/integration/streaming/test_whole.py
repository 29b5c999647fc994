"""Functions whose answers are whole, on hotplate's runtime: started by `whole`, as the template has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotplate.streaming.context import Context
from hotplate.streaming.runtime_api import Invocation
from tests.integration.streaming.conftest import ROOT, WHOLE, Asked, Start

# What importing a handler's module may not find there already: it forks, and would pay for them first.
HEAVY = {"asyncio", "dataclasses", "inspect", "json", "orjson", "socket", "ssl"}


@pytest.mark.parametrize(
    "value",
    [
        {"statusCode": 404, "headers": {"x": "1"}, "body": "aGk=", "isBase64Encoded": True},
        {"a": [1, "é"]},
        None,
    ],
)
def test_every_answer_is_json_and_whole(start: Start, value: object) -> None:
    function = start(wrapper=WHOLE)
    for _ in range(2):
        asked = Asked(function, {"value": value})
        assert asked.outcome().error is None
        assert json.loads(b"".join(part for _, part in asked.parts)) == value
        assert not asked.call.is_streamed
    assert function.starts == 1


def test_an_answer_that_streams_is_refused_with_the_variable_to_change(start: Start) -> None:
    function = start(wrapper=WHOLE)
    outcome = Asked(function, {"count": 3}).outcome()
    assert outcome.error is not None
    assert outcome.error["errorType"] == "TypeError"
    assert "AWS_LAMBDA_EXEC_WRAPPER" in outcome.error["errorMessage"]
    assert Asked(function, {"value": 1}).outcome().error is None


def test_what_raises_is_an_error_and_the_function_lives_on(start: Start) -> None:
    function = start(wrapper=WHOLE)
    outcome = Asked(function, {"refuse": "no"}).outcome()
    assert outcome.error is not None
    assert (outcome.error["errorType"], outcome.error["errorMessage"]) == ("ValueError", "no")
    assert Asked(function, {"value": 1}).outcome().error is None
    assert function.starts == 1


def test_where_several_requests_come_at_once_lambdas_own_runtime_is_started() -> None:
    """Managed instances: awslambdaric has the processes, so its command is run as it came."""
    command = [str(WHOLE), sys.executable, "-c", "print('own', __import__('sys').argv[1:])", "a b"]
    environ = {"AWS_LAMBDA_MAX_CONCURRENCY": "2", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "own ['a b']\n"


def test_the_handlers_module_comes_before_whatever_is_heavy(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("import sys\nraise ImportError(' '.join(sys.modules))\n")
    environ = {
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9",
        "LAMBDA_TASK_ROOT": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "_HANDLER": "first.handler",
    }
    command = [str(WHOLE), sys.executable]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    (said,) = (line for line in done.stderr.split("\n") if line.startswith("[ERROR] ImportError: "))
    there = set(said.split("\r")[0].removeprefix("[ERROR] ImportError: ").split())
    assert "first" in there
    assert not HEAVY & there


def test_the_context_names_the_tenant() -> None:
    headers = {"lambda-runtime-aws-tenant-id": "blue", "lambda-runtime-client-context": '{"client": {}}'}
    context = Context(Invocation("one", b"{}", 0, "arn", headers), {})
    assert (context.tenant_id, context.client_context, context.identity) == ("blue", {"client": {}}, None)
    assert Context(Invocation("one", b"{}", 0, "arn", {}), {}).tenant_id is None
