"""A registry in a folder: for a laptop, for tests, and to carry one across an air gap.

Rules kept here:

1. A file appears under its key whole or not at all: it is written beside it, then linked in.
2. Of two writers of a new key exactly one wins (`link` refuses what is there).
3. Of two movers of an alias exactly one wins: compare and rename happen under one lock. So do
   renewing and removing.
4. No key leaves the folder.

The tag of an object is the SHA-256 of its bytes. Needs a POSIX system; not for network file
systems that do not lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hotplate.errors import (
    DigestMismatchError,
    LengthMismatchError,
    StoreConflictError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnavailableError,
)
from hotplate.store.base import Entry, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FilesystemStore"]

CHUNK_BYTES = 1024 * 1024

# A name that no key has: layout's names start with a letter or a digit.
_TEMPORARY = ".partial-"
_LOCK = ".lock"


class FilesystemStore:
    """A `Store` in the folder `root`, which is made when the first object is written."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, key: str, *, max_bytes: int) -> Stored:
        """Return an object whole. See `Store.get`."""
        with _faults(key), self._path(key).open("rb") as file:
            body = file.read(max_bytes + 1)
        if len(body) > max_bytes:
            raise LengthMismatchError(f"{key} is longer than {max_bytes} bytes")
        return Stored(body, _tag(body))

    def size(self, key: str) -> int | None:
        """Return the object's length in bytes, or None. See `Store.size`."""
        try:
            with _faults(key):
                return self._path(key).stat().st_size
        except StoreNotFoundError:
            return None

    def put_new(
        self, key: str, body: bytes | Path, *, sha256: str, progress: Callable[[int], None] | None = None
    ) -> bool:
        """Write an object unless one is there. See `Store.put_new`."""
        target = self._path(key)
        with _faults(key):
            if target.exists():
                return False
            with _opened(body) as source, self._temporary(target) as (file, name):
                digest = _copy(source, file, progress)
                if digest != sha256:
                    raise DigestMismatchError(
                        f"{key}: the bytes to write have SHA-256 {digest}, not {sha256}"
                    )
                return _link(name, target)

    def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
        """Write a small object over the one tagged `etag`. See `Store.replace`."""
        target = self._path(key)
        with _faults(key), self._temporary(target) as (file, name), self._lock():
            _copy(BytesIO(body), file, None)
            found = _tag(target.read_bytes()) if target.exists() else None
            if found != etag:
                raise StoreConflictError(f"{key} was written by somebody else")
            name.replace(target)
        return _tag(body)

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with `prefix`, in order. See `Store.keys`."""
        with _faults(prefix):
            files = [path for path in self._root.rglob("*") if path.is_file()]
        found = (path.relative_to(self._root).as_posix() for path in files if not path.name.startswith("."))
        yield from sorted(key for key in found if key.startswith(prefix))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield every object whose key starts with `prefix`, in order. See `Store.entries`."""
        for key in self.keys(prefix):
            with _faults(key):
                found = self._path(key).stat()
            yield Entry(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), _state(found))

    def renew(self, key: str, *, before: datetime) -> bool:
        """Make an old object count as written now. See `Store.renew`."""
        path = self._path(key)
        if self.size(key) is None:
            return False
        try:
            with _faults(key), self._lock():
                if path.stat().st_mtime < before.timestamp():
                    os.utime(path)
        except StoreNotFoundError:
            return False
        return True

    def remove(self, entry: Entry) -> None:
        """Remove an object as it was listed. See `Store.remove`."""
        path = self._path(entry.key)
        if self.size(entry.key) is None:
            return
        with _faults(entry.key), self._lock():
            if path.exists() and _state(path.stat()) == entry.state:
                path.unlink()

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(part.startswith(".") or not part or "\\" in part or "\0" in part for part in parts):
            raise StoreDeniedError(f"{key!r} is no key of a registry")
        return self._root.joinpath(*parts)

    @contextmanager
    def _temporary(self, target: Path) -> Iterator[tuple[BinaryIO, Path]]:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file, Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        # The kernel drops the lock when its holder dies, so nothing stays locked after a kill.
        with (self._root / _LOCK).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@contextmanager
def _faults(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as fault:
        raise StoreNotFoundError(f"{key} is not there") from fault
    except PermissionError as fault:
        raise StoreDeniedError(f"{key}: {fault.strerror}") from fault
    except (IsADirectoryError, NotADirectoryError) as fault:
        raise StoreError(f"{key}: {fault.strerror}") from fault
    except OSError as fault:
        raise StoreUnavailableError(f"{key}: {fault.strerror}") from fault


@contextmanager
def _opened(body: bytes | Path) -> Iterator[BinaryIO]:
    if isinstance(body, bytes):
        yield BytesIO(body)
        return
    with body.open("rb") as file:
        yield file


def _copy(source: BinaryIO, target: BinaryIO, progress: Callable[[int], None] | None) -> str:
    """Copy all of `source`, flushed to the disk; return the hex SHA-256 of what was copied."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        target.write(chunk)
        digest.update(chunk)
        if progress:
            progress(len(chunk))
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


def _link(name: Path, target: Path) -> bool:
    # mkstemp makes files that only their owner reads; a registry is read by others too.
    name.chmod(0o644)
    try:
        os.link(name, target)
    except FileExistsError:
        return False
    return True


def _tag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _state(found: os.stat_result) -> str:
    return f"{found.st_ino}-{found.st_mtime_ns}"
