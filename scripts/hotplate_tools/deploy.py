"""`hotplate deploy`: the stack, into the account that the AWS settings name.

What is deployed is the build that runs locally: trimmed, compiled, with the pins of the models that
come with the project. Everything else is `sam deploy`'s own, samconfig.toml included.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from hotplate_tools.environments import ensure
from hotplate_tools.failures import FailedError
from hotplate_tools.local.build import build
from hotplate_tools.local.deploy import EMPTY
from hotplate_tools.local.deployed import deploy_parameters, described_models, served_models
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.sizes import measure, refuse_oversize
from hotplate_tools.project import project_root
from hotplate_tools.publish.signing import public_key_of
from hotplate_tools.training.stored import warn_of_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate_tools.console import Console

__all__ = ["deploy"]


def deploy(
    console: Console, options: Sequence[str], *, architecture: str = "x86_64", signing_key: str | None = None
) -> None:
    """Build and run `sam deploy` with it, in the terminal that this runs in.

    Args:
        console: Told what is being done.
        options: For `sam deploy`, as `--guided` or `--stack-name NAME`.
        architecture: `x86_64` or `arm64`.
        signing_key: Key file or `kms:KEY` whose signatures the functions are to trust; None keeps what
            the stack has, and a new stack is then refused unless the options say what it trusts.

    Raises:
        RefusedError: Lambda would refuse a function for its size.
        FailedError: `sam deploy` ended with another code than 0.
    """
    made = build(console, architecture=architecture)
    refuse_oversize(measure(made))
    public_key = public_key_of(signing_key, region=None) if signing_key else None
    models = served_models(read_yaml(made.template))
    warn_of_missing([model.name for model in models], console)
    pins = deploy_parameters(models, described_models(models), None, public_key=public_key)
    pins["Architecture"] = architecture
    root = project_root()
    command = [str(ensure("sam", console) / "sam"), "deploy", "--template-file", str(made.template)]
    # Looked for beside the template otherwise, which is not where it is kept.
    command += ["--config-file", str(root / "samconfig.toml")]
    command += [
        "--parameter-overrides",
        *(f"{name}={value or EMPTY}" for name, value in pins.items()),
        *options,
    ]
    variables = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(command, check=False, cwd=root, env=variables)
    if done.returncode:
        raise FailedError(
            f"sam deploy ended with code {done.returncode}",
            advice="What it printed above says why; nothing is left half-deployed.",
        )
    console.say(
        "Next: hotplate publish FOLDER --bucket NAME, into the bucket that ModelBucketName above names"
    )
