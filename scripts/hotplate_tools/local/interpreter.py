"""A Python of the version that the functions run on, for building layers and for running functions here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hotplate_tools.failures import FailedError

__all__ = ["find_python"]


def find_python(runtime: str) -> Path:
    """Return an interpreter for a Lambda runtime such as `python3.13`, whose folder also holds that name.

    Raises:
        FailedError: There is none on this machine.
    """
    version = runtime.removeprefix("python")
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.executable)
    find = [sys.executable, "-m", "uv", "python", "find", "--no-project", version]
    found = subprocess.run(find, check=False, capture_output=True, text=True)
    if found.returncode:
        raise FailedError(
            f"the functions run on Python {version}, and none is installed here",
            advice=f"Install Python {version}; it need not be the one that runs hotplate.",
        )
    return Path(found.stdout.strip())
