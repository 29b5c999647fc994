"""Python environments of their own for programs that must not share ours.

The SAM CLI, the local cloud and every framework's exporter pin versions that fight with each
other, so each lives in its own environment, made on first use from `requirements/<name>.txt`
(hashed), kept in the user's cache folder and shared by all checkouts. The folder's name holds the
digest of the requirements, so a changed pin makes a new environment and an old one stays valid.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate_tools.failures import FailedError
from hotplate_tools.project import project_root

if TYPE_CHECKING:
    from hotplate_tools.console import Console

__all__ = ["cache_root", "ensure"]


def cache_root() -> Path:
    """Return the folder for what can be made again: `$HOTPLATE_CACHE`, else the XDG cache folder's."""
    explicit = os.environ.get("HOTPLATE_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotplate"


def ensure(name: str, console: Console, *, python: str = sys.executable) -> Path:
    """Return the `bin` folder of environment `name`, making the environment if there is none.

    Args:
        name: `requirements/<name>.txt` lists what it holds.
        console: Told while it is made.
        python: The interpreter, or a version such as `3.11` for uv to find.

    Raises:
        FailedError: The requirements could not be installed; the last lines say why.
    """
    requirements = project_root() / "requirements" / f"{name}.txt"
    version = platform.python_version() if python == sys.executable else python
    stamp = hashlib.sha256(requirements.read_bytes() + version.encode()).hexdigest()[:12]
    home = cache_root() / "envs" / f"{name}-{stamp}"
    if not (home / ".complete").exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        # Two commands may want it first at the same time; one makes it, the other waits.
        with (home.parent / f"{home.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (home / ".complete").exists():
                with console.step(f"Installing the {name} environment (first use)"):
                    _make(home, requirements, python)
    return home / "bin"


def _make(home: Path, requirements: Path, python: str) -> None:
    # Made in place because an environment cannot be moved; `.complete` is written last, so a
    # half-made one is never used, and is made again.
    shutil.rmtree(home, ignore_errors=True)
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "--quiet", "--python", python, str(home)])
    install = [*uv, "pip", "install", "--quiet", "--require-hashes", "-r", str(requirements)]
    try:
        _run([*install, "--python", str(home / "bin" / "python")])
    except FailedError:
        # Registries time out now and then; what was downloaded is kept, so the second try is short.
        _run([*install, "--python", str(home / "bin" / "python")])
    (home / ".complete").touch()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-6:])
        raise FailedError(
            f"{' '.join(command[2:5])} failed:\n{last}",
            advice="Check the connection to the package registry and run the command again.",
        )
