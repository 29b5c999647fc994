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
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate_tools.failures import FailedError
from hotplate_tools.project import project_root

if TYPE_CHECKING:
    from hotplate_tools.console import Console

__all__ = ["cache_root", "ensure", "pins_of"]


def cache_root() -> Path:
    """Return the folder for what can be made again: `$HOTPLATE_CACHE`, else the XDG cache folder's."""
    explicit = os.environ.get("HOTPLATE_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotplate"


def ensure(
    name: str,
    console: Console,
    *,
    python: str = sys.executable,
    by_pip: str | None = None,
    requirements: tuple[Path, ...] = (),
    building: Mapping[str, str] | None = None,
) -> Path:
    """Return the `bin` folder of environment `name`, making the environment if there is none.

    Args:
        name: `requirements/<name>.txt` lists what it holds.
        console: Told while it is made.
        python: The interpreter, or a version such as `3.11` for uv to find.
        by_pip: `requirements/<by_pip>.txt` is installed too, by pip and without dependencies: for a
            package whose build for this machine lies where only pip's configuration points, and
            whose dependencies the first file lists.
        requirements: Files instead of `requirements/<name>.txt`.
        building: Variables for packages that are built here.

    Raises:
        FailedError: The requirements could not be installed; the last lines say why.
    """
    files, extra = requirements or _files(name), _extra(by_pip)
    pins = _bytes_of(*files, *([extra] if extra else []))
    version = platform.python_version() if python == sys.executable else python
    stamp = hashlib.sha256(pins + version.encode()).hexdigest()[:12]
    home = cache_root() / "envs" / f"{name}-{stamp}"
    if not (home / ".complete").exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        # Two commands may want it first at the same time; one makes it, the other waits.
        with (home.parent / f"{home.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (home / ".complete").exists():
                with console.step(f"Installing the {name} environment (first use)"):
                    _make(home, files, extra, python, building or {})
    return home / "bin"


def pins_of(name: str, by_pip: str | None = None) -> bytes:
    """Return what environment `name` is made from; the arguments are those of `ensure`."""
    extra = _extra(by_pip)
    return _bytes_of(*_files(name), *([extra] if extra else []))


def _files(name: str) -> tuple[Path]:
    return (project_root() / "requirements" / f"{name}.txt",)


def _extra(by_pip: str | None) -> Path | None:
    return _files(by_pip)[0] if by_pip else None


def _bytes_of(*files: Path) -> bytes:
    return b"".join(file.read_bytes() for file in files)


def _make(
    home: Path, files: tuple[Path, ...], extra: Path | None, python: str, building: Mapping[str, str]
) -> None:
    # Made in place because an environment cannot be moved; `.complete` is written last, so a
    # half-made one is never used, and is made again.
    shutil.rmtree(home, ignore_errors=True)
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "--quiet", "--python", python, str(home)])
    install = [*uv, "pip", "install", "--quiet", "--require-hashes"]
    install += [word for file in files for word in ("-r", str(file))]
    try:
        _run([*install, "--python", str(home / "bin" / "python")], more=building)
    except FailedError:
        # Registries time out now and then; what was downloaded is kept, so the second try is short.
        _run([*install, "--python", str(home / "bin" / "python")], more=building)
    if extra:
        pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet"]
        _run(
            [*pip, "--no-deps", "--require-hashes", "-r", str(extra)],
            advice=f"{extra.name} says which build is meant. If pip found none, point it at an "
            "index that has one (PIP_EXTRA_INDEX_URL) and run the command again.",
        )
    (home / ".complete").touch()


_AGAIN = "Check the connection to the package registry and run the command again."


def _run(command: list[str], *, advice: str = _AGAIN, more: Mapping[str, str] | None = None) -> None:
    variables = {**os.environ, **(more or {})}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-6:])
        raise FailedError(
            f"{' '.join(command[2:5])} failed:\n{last}",
            advice=advice,
        )
