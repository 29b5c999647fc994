"""An archive (ZIP), looked at before anything unpacks it: what it holds, and that it is no bomb.

Refused, here and inside of a member that is an archive itself:

1. more than `MAX_ENTRIES` members, or a directory longer than `MAX_DIRECTORY_BYTES` (not even read);
2. members that unpack to more than `MAX_RATIO` times the archive, or that claim one size and have
   another; a compressed member is inflated, a piece at a time, and counted;
3. members that share bytes, have the same name, or a name that leaves the folder; encrypted ones,
   and other compression than deflate;
4. archives three deep, or large ones inside of a compressed member;
5. NumPy arrays (`.npy`) whose shape needs other bytes than there are.

Not looked at: HDF5 files, which compress by themselves.

Source: PKWARE, ".ZIP File Format Specification" (APPNOTE.TXT) 6.3.10; NumPy, "NPY format".
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from hotplate.limits import MAX_MEMORY_MB, MIB
from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from collections.abc import Buffer, Iterator
    from pathlib import Path

__all__ = ["MAX_DIRECTORY_BYTES", "MAX_ENTRIES", "MAX_RATIO", "archive_names"]

# A forest of ten thousand trees is 40,000 arrays. Ours.
MAX_ENTRIES = 100_000
MAX_DIRECTORY_BYTES = 32 * MIB

# Weights shrink to a half at best; untrained ones, all zero, a thousandfold, which the floor is for. Ours.
MAX_RATIO = 100
FREE_BYTES = 256 * MIB

# skops keeps a sparse matrix as an archive of its own. Ours.
MAX_DEPTH = 2
MAX_INFLATED_ARCHIVE_BYTES = 64 * MIB

MAX_NAME = 512
CHUNK_BYTES = MIB

_UNSAFE = re.compile(r"^/|(^|/)\.\.(/|$)|\\|[\x00-\x1f]|^[A-Za-z]:")
_LOCAL_HEADER = b"PK\x03\x04"


@dataclass(slots=True)
class _Budget:
    """What may still be unpacked, the archives inside included."""

    entries: int
    size: int


def archive_names(path: Path) -> frozenset[str]:
    """Return the names of an archive's members.

    Raises:
        RefusedError: It is broken, or one of those that the module names.
    """
    size = path.stat().st_size
    allowed = max(size, min(MAX_MEMORY_MB * MIB, max(FREE_BYTES, MAX_RATIO * size)))
    with path.open("rb") as file:
        return _names(file, size, path.name, _Budget(MAX_ENTRIES, allowed), depth=1)


def _names(file: IO[bytes], size: int, label: str, budget: _Budget, *, depth: int) -> frozenset[str]:
    if _directory_bytes(file, size) > MAX_DIRECTORY_BYTES:
        raise RefusedError(f"{label} is an archive of millions of members: at most {MAX_ENTRIES:,} are read")
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _refuse_members(members, size, label, budget)
            for member in members:
                _check_bytes(file, member, f"{label}: {member.filename}", budget, depth)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError) as fault:
        raise RefusedError(f"{label} is a broken archive: {fault}") from fault
    return frozenset(member.filename for member in members)


def _refuse_members(members: list[zipfile.ZipInfo], size: int, label: str, budget: _Budget) -> None:
    budget.entries -= len(members)
    budget.size -= sum(member.file_size for member in members)
    if budget.entries < 0:
        raise RefusedError(f"{label} is an archive of more than {MAX_ENTRIES:,} members")
    if budget.size < 0:
        raise RefusedError(
            f"{label} unpacks to {sum(member.file_size for member in members):,} bytes, "
            f"far more than the {size:,} that it has",
            advice="That is what bombs do; no framework reads it. Save the model again.",
        )
    if sum(member.compress_size for member in members) > size:
        raise RefusedError(f"{label} is an archive whose members share bytes")
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise RefusedError(f"{label} is an archive with two members of the same name")
    for member in members:
        if len(member.filename) > MAX_NAME or _UNSAFE.search(member.orig_filename):
            raise RefusedError(f"{label} has a member with an unsafe name: {member.orig_filename[:80]!r}")
        if member.flag_bits & 1:
            raise RefusedError(f"{label}: {member.filename} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RefusedError(f"{label}: {member.filename} is compressed in another way than deflate")


def _check_bytes(file: IO[bytes], member: zipfile.ZipInfo, label: str, budget: _Budget, depth: int) -> None:
    file.seek(member.header_offset)
    header = file.read(30)
    if header[:4] != _LOCAL_HEADER:
        raise zipfile.BadZipFile("a member is not where the directory says")
    start = member.header_offset + 30 + sum(struct.unpack("<2H", header[26:30]))
    if member.compress_type == zipfile.ZIP_DEFLATED:
        head = _inflated_head(file, start, member, label)
    else:
        if member.compress_size != member.file_size:
            raise RefusedError(f"{label} claims {member.file_size:,} bytes and has {member.compress_size:,}")
        file.seek(start)
        head = file.read(min(CHUNK_BYTES, member.file_size))
    if member.filename.endswith(".npy"):
        _refuse_wrong_array(head, member.file_size, label)
    if head[:4] == _LOCAL_HEADER:
        if depth == MAX_DEPTH:
            raise RefusedError(f"{label} is an archive inside of an archive inside of an archive")
        _names(_inner(file, start, member, label), member.file_size, label, budget, depth=depth + 1)


def _inner(file: IO[bytes], start: int, member: zipfile.ZipInfo, label: str) -> IO[bytes]:
    """Return a member that is an archive as a file."""
    if member.compress_type == zipfile.ZIP_STORED:
        return io.BufferedReader(_Window(file, start, member.file_size))
    if member.file_size > MAX_INFLATED_ARCHIVE_BYTES:
        raise RefusedError(f"{label} is a large archive, compressed again inside of an archive")
    return io.BytesIO(b"".join(_inflated(file, start, member.compress_size)))


def _inflated_head(file: IO[bytes], start: int, member: zipfile.ZipInfo, label: str) -> bytes:
    """Return the first bytes of a compressed member, having counted all that it unpacks to."""
    head, total = b"", 0
    for piece in _inflated(file, start, member.compress_size):
        head = head or piece
        total += len(piece)
        if total > member.file_size:
            break
    if total != member.file_size:
        found = "more" if total > member.file_size else f"{total:,}"
        raise RefusedError(f"{label} claims {member.file_size:,} bytes and unpacks to {found}")
    return head


def _inflated(file: IO[bytes], start: int, size: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    file.seek(start)
    while size > 0 and not inflater.eof:
        packed = file.read(min(CHUNK_BYTES, size))
        if not packed:
            raise EOFError("it ends in the middle of a member")
        size -= len(packed)
        while packed and not inflater.eof:
            yield inflater.decompress(packed, CHUNK_BYTES)
            packed = inflater.unconsumed_tail
    yield inflater.flush()


def _refuse_wrong_array(head: bytes, size: int, label: str) -> None:
    stream = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as fault:
        raise RefusedError(f"{label} is no NumPy array: {fault}") from fault
    needed = math.prod(shape) * dtype.itemsize
    # An array of objects is a pickle, whose length says nothing; it is for its reader to refuse.
    if not dtype.hasobject and needed != size - stream.tell():
        raise RefusedError(
            f"{label} of shape {list(shape)} needs {needed:,} bytes, {size - stream.tell():,} are there"
        )


def _directory_bytes(file: IO[bytes], size: int) -> int:
    """Return how long the directory says it is, as `zipfile` will read it; 0 if there is none."""
    tail_at = max(0, size - 22 - 0xFFFF)
    file.seek(tail_at)
    tail = file.read(size - tail_at)
    at = len(tail) - 22
    if at < 0 or tail[at : at + 4] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        return 0
    length = int(struct.unpack("<L", tail[at + 12 : at + 16])[0])
    locator = tail[max(0, at - 20) : at]
    if locator[:4] != b"PK\x06\x07" or len(locator) < 20:
        return length
    # Versions of `zipfile` differ in where they look for the longer record.
    for record_at in (tail_at + at - 20 - 56, int(struct.unpack("<Q", locator[8:16])[0])):
        if 0 <= record_at < size:
            file.seek(record_at)
            record = file.read(56)
            if record[:4] == b"PK\x06\x06" and len(record) == 56:
                length = max(length, int(struct.unpack("<Q", record[40:48])[0]))
    return length


class _Window(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """See `io.IOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """See `io.IOBase.tell`."""
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        """See `io.RawIOBase.readinto`."""
        view = memoryview(buffer).cast("B")
        self._file.seek(self._start + self._at)
        found = self._file.read(max(0, min(len(view), self._size - self._at)))
        view[: len(found)] = found
        self._at += len(found)
        return len(found)
