"""The digits function in a container, started by the SAM CLI's own command.

Skipped only where no container engine is: the one thing of a test machine that cannot be installed by pip.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hotplate_tools.failures import FailedError
from hotplate_tools.local.engine import container_engine

_EVENT = Path(__file__).parents[1] / "events" / "infer_digits.json"
_RUN = "from hotplate_tools.cli import main; main()"


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    try:
        with container_engine():
            pass
    except FailedError as fault:
        pytest.skip(f"NOT RUN, sam local is untested on this machine: {fault}. {fault.advice}")


def test_invoke_answers_the_digit() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "sam-local", "invoke", "DigitsFunction", "-e", str(_EVENT)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["statusCode"] == 200, answer
    outputs = {each["name"]: each for each in json.loads(answer["body"])["outputs"]}
    assert outputs["digit"] == {"name": "digit", "datatype": "INT64", "shape": [1], "data": [7]}
    assert outputs["probabilities"]["shape"] == [1, 10]


def test_function_that_is_not_there_is_the_caller_s_mistake() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "sam-local", "invoke", "Missing"],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert "Missing not found" in done.stderr
