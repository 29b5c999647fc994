"""The template, checked by AWS's own tools; needs no account, no region and no network."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from hotplate_tools.environments import ensure
from hotplate_tools.failures import FailedError
from hotplate_tools.local.build import run_sam
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.isolation import isolation_faults
from hotplate_tools.project import project_root

if TYPE_CHECKING:
    from hotplate_tools.console import Console

__all__ = ["lint_template"]


def lint_template(console: Console) -> None:
    """Run `cfn-lint`, `sam validate --lint` and the rules of tenant isolation on the project's template.

    Raises:
        FailedError: With what they found.
    """
    root = project_root()
    with console.step("tenant isolation"):
        if faults := isolation_faults(read_yaml(root / "template.yaml")):
            raise FailedError("tenant isolation:\n" + "\n".join(faults))
    with console.step("cfn-lint template.yaml"):
        linter = ensure("sam", console) / "cfn-lint"
        command = [str(linter), "template.yaml"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root)
        if done.returncode:
            raise FailedError(f"cfn-lint:\n{(done.stdout + done.stderr).strip()}")
    with console.step("sam validate --lint"):
        run_sam(
            ["validate", "--lint", "--template-file", "template.yaml"],
            console,
            environment=dict(os.environ),
            cwd=root,
        )
