"""The stand-in's own scripts."""

from __future__ import annotations

import subprocess

import pytest

from hotplate_tools.local.image import _BOOTSTRAP


@pytest.mark.parametrize(
    ("variables", "started"),
    [
        ({"AWS_LAMBDA_EXEC_WRAPPER": "/bin/echo"}, "/var/lang/bin/python3.13 -m awslambdaric app.handler"),
        ({}, "/var/lang/bin/python3.13: No such file or directory"),
    ],
    ids=["wrapper", "none"],
)
def test_a_function_with_a_wrapper_is_started_by_it(variables: dict[str, str], started: str) -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", _BOOTSTRAP.format(runtime="python3.13")],
        env={**variables, "_HANDLER": "app.handler"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout + done.stderr).strip().endswith(started)
