"""A program's assets as files: verified bytes in a folder that nobody else uses.

Rules kept:

1. The folder is new, has an unguessable name and belongs to this process alone; a program is given it
   only when every asset is in it. What other processes keep in the cache is never handed out as it lies.
2. Only what was hashed and found right is written, under the path of the manifest, which stays inside.
3. Files are read-only. The folder goes when the process ends. Of a process that was killed it is left
   behind; the next one to make a folder finds it by its lock, which nobody holds any more, and removes it.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.errors import SettingsError
from hotplate.manifest.pickles import HEAD_BYTES, refuse_pickle

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PrivateFolder", "write_asset", "write_assets"]

_PREFIX = "hotplate-assets-"
_LOCK = "lock"


class PrivateFolder:
    """A new, empty folder that goes with this process, or before by `remove`.

    Attributes:
        path: Where it is.
    """

    def __init__(self, temporary: Path) -> None:
        """Make it below `temporary`, and remove there what killed processes left.

        Raises:
            SettingsError: None can be made there.
        """
        try:
            _remove_abandoned(temporary)
            self._home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=temporary))
            self.path = self._home / "assets"
            self.path.mkdir(mode=0o700)
            # Under its own name the lock is there only once it is held.
            unheld = self._home / f".{_LOCK}"
            self._lock = os.open(unheld, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            unheld.rename(self._home / _LOCK)
        except OSError as fault:
            raise SettingsError(
                f"no folder for the model's assets could be made in {temporary}: {fault}"
            ) from fault
        self._owner = os.getpid()
        atexit.register(self.remove)

    def remove(self) -> None:
        """Remove it with everything in it; a forked child leaves its parent's alone."""
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.remove)
        shutil.rmtree(self._home, ignore_errors=True)
        os.close(self._lock)


def write_assets(files: Mapping[str, memoryview]) -> PrivateFolder:
    """Return a folder of this process with every asset in it.

    Args:
        files: Verified bytes by path.

    Raises:
        ProgramError: One is a pickle.
        SettingsError: They could not be written.
    """
    folder = PrivateFolder(Path(tempfile.gettempdir()))
    try:
        for path, body in files.items():
            refuse_pickle(path, bytes(body[:HEAD_BYTES]))
            write_asset(folder.path, path, body)
    except BaseException:
        folder.remove()
        raise
    return folder


def write_asset(folder: Path, path: str, body: memoryview) -> None:
    """Write one file that is not there yet.

    Raises:
        SettingsError: It cannot be written, for want of room in most cases.
    """
    target = folder / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
        with os.fdopen(handle, "wb") as file:
            file.write(body)
    except OSError as fault:
        raise SettingsError(
            f"asset {path!r} of {len(body)} bytes could not be written: {fault}; "
            "EphemeralStorage in the template gives a function more room"
        ) from fault


def _remove_abandoned(temporary: Path) -> None:
    """Remove folders whose process is gone; those of others, and those just being made, have no free lock."""
    for home in temporary.glob(f"{_PREFIX}*"):
        try:
            if home.is_symlink() or home.stat().st_uid != os.getuid():
                continue
            lock = os.open(home / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # gone meanwhile, or being made
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(home, ignore_errors=True)
        except BlockingIOError:  # in use
            continue
        finally:
            os.close(lock)
