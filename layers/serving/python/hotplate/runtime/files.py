"""Verified bytes of a version's files, from the cache or the store, hashed while they arrive.

Rules kept:

1. No byte leaves here that was not hashed and found to be what the manifest says. Who is told what has come
   so far may count on files that are whole only.
2. All ranges of all files are read in parallel; hashing goes through them in order as they come.
3. The cache is a convenience, never trusted: a file found there is hashed again, one that is
   wrong is removed. It is written under another name and renamed, so that two processes sharing
   the folder never see half a file; a full disk only means that nothing is cached.
4. What lies in the cache is mapped, not read: processes that share the folder share the memory. They
   begin together, so one fetches, and the others wait for it and map what it wrote.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hotplate.errors import DigestMismatchError
from hotplate.limits import MAX_PARALLEL_RANGES, RANGE_BYTES
from hotplate.manifest.layout import blob_key
from hotplate.runtime.crew import in_order
from hotplate.runtime.memory import aligned, private_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hotplate.manifest.schema import FileEntry
    from hotplate.runtime.ledger import Ledger
    from hotplate.store.base import Reader

__all__ = ["Cache", "Placed", "fetch_file", "fetch_files", "mapped", "offsets_of"]


class Placed(NamedTuple):
    """Where the verified bytes of a file are.

    Attributes:
        offset: In the memory that was allocated; 0 if they are in the cache.
        cached: The file of the cache, mapped, and its path; None if they are in the memory.
    """

    offset: int
    cached: tuple[memoryview, Path] | None


class Cache:
    """A folder of files named by their digest, shared by the processes of one environment."""

    def __init__(self, folder: Path | None, ledger: Ledger) -> None:
        self._folder = folder
        self._ledger = ledger

    @contextmanager
    def turn(self, entries: Sequence[FileEntry]) -> Iterator[None]:
        """Keep other processes out until all the files are there; then let all look at once.

        The kernel ends the turn of a process that dies. A folder that cannot be used makes nobody wait.
        """
        if self._folder is None:
            yield
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as fault:
            self._ledger.note(f"no cache: {fault}")
            yield
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if all((self._folder / entry.sha256).exists() for entry in entries):
                fcntl.flock(handle, fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    def find(self, entry: FileEntry) -> tuple[memoryview, Path] | None:
        """Return the file with these bytes if it is here and right; a wrong one is removed."""
        if self._folder is None:
            return None
        import hashlib  # loads OpenSSL, 3 ms, which only who fetches needs

        path = self._folder / entry.sha256
        try:
            # What is hashed is what is used: somebody else may remove or replace the file meanwhile.
            found = mapped(path)
            if len(found) == entry.size and hashlib.sha256(found).hexdigest() == entry.sha256:
                return found, path
            self._ledger.note(f"cached {entry.sha256[:12]} was damaged: removed, fetched again")
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return None
        except OSError as fault:
            self._ledger.note(f"cached {entry.sha256[:12]} could not be read: {fault}")
        return None

    def put(self, sha256: str, body: memoryview) -> tuple[memoryview, Path] | None:
        """Keep verified bytes for the next process; return the file, None if it cannot be written."""
        if self._folder is None:
            return None
        import tempfile

        unfinished: Path | None = None
        try:
            handle, name = tempfile.mkstemp(prefix=f".{sha256[:12]}-", dir=self._folder)
            unfinished = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(body)
            kept = mapped(unfinished)
            return kept, unfinished.replace(self._folder / sha256)
        except OSError as fault:
            self._ledger.note(f"{sha256[:12]} was not cached: {fault}")
            if unfinished:
                unfinished.unlink(missing_ok=True)
        return None


def mapped(file: Path) -> memoryview:
    """Return a file's bytes, mapped: every process that maps it shares them."""
    with file.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:  # nothing cannot be mapped
            return memoryview(b"")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


class _Part(NamedTuple):
    """One range of one file: what to read, and into where."""

    entry: FileEntry
    start: int
    into: memoryview

    @property
    def end(self) -> int:
        return self.start + len(self.into)


def _ignored(_: int) -> None:
    """Take no notice of what has come."""


def offsets_of(entries: Sequence[FileEntry]) -> tuple[dict[str, int], int]:
    """Return where each file goes by its path, on a page of its own, and how much memory all of them need."""
    offsets, total = {}, 0
    for entry in entries:
        offsets[entry.path] = total
        total += aligned(entry.size)
    return offsets, total


def fetch_files(
    reader: Reader,
    entries: Sequence[FileEntry],
    cache: Cache,
    allocate: Callable[[int], memoryview],
    arrived: Callable[[int], None] = _ignored,
) -> list[Placed]:
    """Return where the verified bytes of each file are.

    Args:
        reader: Where the registry lies.
        entries: The files wanted.
        cache: Looked into first; gets what was fetched.
        allocate: Called once, with the bytes that the files not cached need, as `offsets_of` has it; returns
            writable memory of that size.
        arrived: Told, in rising order, up to where bytes are in that memory; each file that ends before is
            verified.

    Raises:
        DigestMismatchError: The bytes are not those published.
        LengthMismatchError: Their number is not.
        StoreError: They could not be had.
    """
    with cache.turn(entries):
        return _placed(reader, entries, cache, allocate, arrived)


def _placed(
    reader: Reader,
    entries: Sequence[FileEntry],
    cache: Cache,
    allocate: Callable[[int], memoryview],
    arrived: Callable[[int], None],
) -> list[Placed]:
    found = {entry.path: kept for entry in entries if (kept := cache.find(entry))}
    missing = [entry for entry in entries if entry.path not in found]
    offsets, total = offsets_of(missing)
    memory = allocate(total) if missing else memoryview(b"")
    bodies = {entry.path: memory[offsets[entry.path] :][: entry.size] for entry in missing}
    for part in _fetch(reader, missing, bodies):
        arrived(offsets[part.entry.path] + part.end)
    for entry in missing:
        if kept := cache.put(entry.sha256, bodies[entry.path]):
            found[entry.path] = kept
    return [Placed(offsets.get(entry.path, 0), found.get(entry.path)) for entry in entries]


def fetch_file(reader: Reader, entry: FileEntry, cache: Cache) -> memoryview:
    """Return the verified bytes of one file; read-only.

    Raises:
        DigestMismatchError, LengthMismatchError, StoreError: As `fetch_files`.
    """
    memory: list[memoryview] = []

    def allocate(size: int) -> memoryview:
        memory.append(private_memory(size))
        return memory[0]

    (placed,) = fetch_files(reader, [entry], cache, allocate)
    return placed.cached[0] if placed.cached else memory[0][: entry.size].toreadonly()


def _fetch(reader: Reader, entries: Sequence[FileEntry], bodies: dict[str, memoryview]) -> Iterator[_Part]:
    """Yield each range when it and all before it have come; a file's last one when the file is verified."""
    parts = [
        _Part(entry, start, bodies[entry.path][start : start + RANGE_BYTES])
        for entry in entries
        for start in range(0, entry.size, RANGE_BYTES)
    ]
    import hashlib  # as in `find`

    for entry in entries:
        if not entry.size:  # no range can name nothing, and a longer object must still be found out
            reader.read_small(blob_key(entry.sha256), max_bytes=0)
            _check(entry, hashlib.sha256().hexdigest())
    digests = {entry.path: hashlib.sha256() for entry in entries}

    def read(part: _Part) -> None:
        key = blob_key(part.entry.sha256)
        reader.read_range(key, start=part.start, into=part.into, object_bytes=part.entry.size)

    if parts:
        for part in in_order(read, parts, workers=MAX_PARALLEL_RANGES):
            digests[part.entry.path].update(part.into)
            if part.end == part.entry.size:
                _check(part.entry, digests[part.entry.path].hexdigest())
            yield part


def _check(entry: FileEntry, got: str) -> None:
    if got != entry.sha256:
        raise DigestMismatchError(
            f"{entry.path}: SHA-256 {got[:12]}..., {entry.sha256[:12]}... was published"
        )
