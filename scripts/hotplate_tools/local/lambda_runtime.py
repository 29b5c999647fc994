"""What Lambda gives a Python function, on this machine: interpreter, awslambdaric, boto3, and the RIE.

Rules kept: nothing of this project's environment is in it (`requirements/runtime.txt`, in an
environment of its own); it is compiled once, because functions see it read-only.
"""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate_tools.environments import ensure
from hotplate_tools.failures import FailedError
from hotplate_tools.local.build import host_architecture
from hotplate_tools.local.interpreter import find_python

if TYPE_CHECKING:
    from pathlib import Path

    from hotplate_tools.console import Console

__all__ = ["LambdaRuntime", "ensure_rie", "ensure_runtime"]


@dataclass(frozen=True, slots=True)
class LambdaRuntime:
    """Lambda's Python here.

    Attributes:
        name: As in `python3.13`.
        home: The environment's folder, with `bin/python`.
        prefix: The interpreter's own folder, with `bin/<name>` and `lib/<name>`.
    """

    name: str
    home: Path
    prefix: Path

    @property
    def site_packages(self) -> Path:
        """Folder with awslambdaric and boto3."""
        return self.home / "lib" / self.name / "site-packages"


def ensure_runtime(console: Console, name: str) -> LambdaRuntime:
    """Return Lambda's runtime `name`, as `python3.13`, made on first use.

    Raises:
        FailedError: It is no Python, there is no such Python here, or its packages cannot be installed.
    """
    if not name.startswith("python"):
        raise FailedError(f"functions that run on Python run here, not on {name}")
    binaries = ensure("runtime", console, python=str(find_python(name)))
    python, compiled = binaries / "python", binaries.parent / ".compiled"
    if not compiled.exists():
        _output([str(python), "-I", "-m", "compileall", "-q", str(binaries.parent / "lib")])
        compiled.touch()
    return LambdaRuntime(name, binaries.parent, python.resolve().parent.parent)


def ensure_rie(console: Console) -> Path:
    """Return AWS's Runtime Interface Emulator, which ships inside the SAM CLI's package.

    Raises:
        FailedError: It does not run on this machine, or the SAM CLI cannot be installed.
    """
    machine = host_architecture()
    home = ensure("sam", console).parent
    found = sorted(home.glob(f"lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))
    if not found or platform.system() != "Linux":
        raise FailedError(
            f"AWS's Runtime Interface Emulator does not run on {platform.system()} {machine}",
            advice="Use `hotplate up` without `--runtime rie`.",
        )
    # A wheel does not keep the executable bit of a data file.
    found[0].chmod(0o755)
    return found[0]


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise FailedError(f"{' '.join(command[:4])} failed:\n{done.stderr.strip()}")
    return done.stdout
