"""`hotplate deploy` against the local cloud, which it takes for AWS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate_tools.publish.signing import new_key_file
from hotplate_tools.publish.signing import pinned as pin

if TYPE_CHECKING:
    from hotplate_tools.local.up import LocalCloud


def test_stack_is_deployed_with_the_pins_of_its_models(cloud: LocalCloud, tmp_path: Path) -> None:
    key = new_key_file(tmp_path / "publisher.pem", {})
    command = [sys.executable, "-m", "hotplate_tools.cli", "deploy", "--stack-name", "second"]
    command += ["--signing-key", str(tmp_path / "publisher.pem")]
    done = subprocess.run(
        [*command, "--no-confirm-changeset", "--region", cloud.region],
        env={**os.environ, **cloud.environment()},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (stack,) = cloud.client("cloudformation").describe_stacks(StackName="second")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    variables = cloud.client("lambda").get_function_configuration(FunctionName=outputs["DigitsFunctionName"])
    pinned = cloud.client("lambda").get_function_configuration(FunctionName=cloud.functions["DigitsFunction"])
    for name in ("HOTPLATE_VERSION", "HOTPLATE_MANIFEST_SHA256"):
        assert variables["Environment"]["Variables"][name] == pinned["Environment"]["Variables"][name]
    assert variables["Environment"]["Variables"]["HOTPLATE_SIGNING_KEYS"] == pin(key.public_key)


def test_failure_of_sam_is_ours() -> None:
    command = [sys.executable, "-m", "hotplate_tools.cli", "deploy", "--no-such-option"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert "sam deploy ended with code" in done.stderr
