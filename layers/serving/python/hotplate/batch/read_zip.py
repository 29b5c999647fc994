"""ZIP archives to rows: a file a row, its bytes the one input; pictures, sounds, whatever a model reads.

Rules kept here:

1. A row is a file in the archive, in the order in which they lie there. Folders are none, nor is what systems
   leave there (`__MACOSX/`, names that begin with a dot).
2. A worker reads the bytes of its own files and their records in the archive's directory, and no others. To
   `zipfile` these are an archive of their own: the bytes, the records, an end.
3. A file that is damaged, encrypted, packed otherwise than by deflate, or larger than a request may refer to
   is set aside. Nothing is unpacked beyond the length that the directory tells.

Source: PKWARE's APPNOTE, 4.3.12 (central directory), 4.3.16 (end).
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import orjson

from hotplate.batch.layout import Chunk
from hotplate.batch.report import MAX_NAME, RowError
from hotplate.batch.rows import Block, Group, others
from hotplate.batch.seekable import SourceFile
from hotplate.errors import UnreadableFileError
from hotplate.limits import MAX_UPLOAD_BYTES
from hotplate.protocol.json_codec import objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hotplate.batch.features import Feature
    from hotplate.batch.layout import Source

__all__ = ["CONTENT", "NAME", "check_zip", "read_zip", "zip_chunks"]

# What the columns are called: the one is kept, the other is the input.
NAME, CONTENT = "file", "content"
# Files of one archive. Ours: what is noted of each takes the splitter half a kilobyte.
MAX_FILES = 500_000
# Files of one chunk. Ours: their names fit a list beside their bytes.
MAX_CHUNK_FILES = 10_000
# How many times its length an archive's files may become, and bytes that they may in any case. As of texts.
MAX_GROWTH, FREE_BYTES = 200, 256 * 2**20
# Bytes of files that are unpacked at once at most, beyond the first. Ours.
BATCH_BYTES = 8 * 2**20
# Bytes that windows of a chunk are, and how many are kept.
WINDOW_BYTES, WINDOWS = 4 * 2**20, 3
# Spans of records that one chunk names, where they do not follow each other. Ours: they fit a message.
MAX_SPANS = 2_000
MAX_PART_BYTES = 2**31
_RECORD = struct.Struct("<4s24xHHH12x")
_END = struct.Struct("<4s4xHHII2x")
_RECORD_MARK = b"PK\x01\x02"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


class _Member(msgspec.Struct, frozen=True, gc=False):
    """A file: where it begins and ends, and where its record lies in the directory."""

    start: int
    record: tuple[int, int]
    size: int


def check_zip(source: Source) -> int:
    """Return how many files there are.

    Raises:
        UnreadableFileError: It is no archive, holds no file or too many, or becomes too large.
        StoreError: It could not be had.
    """
    members, _ = _members(source)
    if not members:
        raise UnreadableFileError("the archive holds no files")
    unpacked = sum(each.size for each in members)
    if unpacked > max(FREE_BYTES, MAX_GROWTH * source.size):
        raise UnreadableFileError(
            f"files that become {unpacked:,} bytes, over {MAX_GROWTH} times the archive's length"
        )
    return len(members)


def zip_chunks(source: Source, target_bytes: int) -> Iterator[Chunk]:
    """Yield the chunks, in order; see `hotplate.batch.split.chunks`."""
    members, end = _members(source)
    stops = [each.start for each in members[1:]] + [end]
    number = first = 0
    records: list[tuple[int, int]] = []
    for row, (member, stop) in enumerate(zip(members, stops, strict=True), 1):
        if records and records[-1][1] == member.record[0]:
            records[-1] = (records[-1][0], member.record[1])
        else:
            records.append(member.record)
        start, rows = members[first].start, row - first
        is_full = stop - start >= target_bytes or rows == MAX_CHUNK_FILES or len(records) == MAX_SPANS
        if is_full or row == len(members):
            yield Chunk(number, start, stop, first, rows, groups=tuple(records))
            number, first, records = number + 1, row, []


def read_zip(source: Source, chunk: Chunk, feature: Feature, batch_rows: int) -> Iterator[Block]:
    """Yield a chunk's rows; kept of each is its name, in JSON.

    Raises:
        UnreadableFileError: The archive is not what the chunk says.
        StoreError: It could not be had.
    """
    records = b"".join(bytes(source.read(start, stop)) for start, stop in chunk.groups)
    part = _Part(source, chunk, records, sum(1 for _ in _records(records)))
    file = SourceFile(part, window_bytes=WINDOW_BYTES, windows=WINDOWS)
    with _damage(), zipfile.ZipFile(file) as archive:
        found = archive.infolist()[-chunk.rows :]  # what is left over of a chunk has the records of all of it
        if len(found) != chunk.rows:
            raise UnreadableFileError(f"{chunk.rows} files were expected, got {len(found)}")
        # The first lies where the chunk begins; what lies before an archive moves what its records say.
        before = found[0].header_offset
        for each in found:
            each.header_offset -= before
        done = 0
        while done < len(found):
            last = _end_of_batch(found, done, batch_rows)
            rest = msgspec.structs.replace(
                chunk,
                start=chunk.start + found[done].header_offset,
                first_row=chunk.first_row + done,
                rows=chunk.rows - done,
            )
            yield _block(archive, found[done:last], rest, feature)
            done = last


def _end_of_batch(found: Sequence[zipfile.ZipInfo], first: int, batch_rows: int) -> int:
    last, size = first + 1, found[first].file_size
    while last < min(len(found), first + batch_rows):
        size += found[last].file_size
        if size > BATCH_BYTES:
            break
        last += 1
    return last


def _block(
    archive: zipfile.ZipFile, found: Sequence[zipfile.ZipInfo], rest: Chunk, feature: Feature
) -> Block:
    contents: list[bytes] = []
    errors: dict[int, RowError] = {}
    for place, each in enumerate(found):
        content = _content(archive, each)
        if isinstance(content, str):
            errors[place] = RowError(rest.first_row + place, content, CONTENT, each.filename[:MAX_NAME])
        else:
            contents.append(content)
    good = others(len(found), errors)
    inputs = {feature.name: objects(contents, (len(contents), *feature.inner))}
    groups = [Group(good, inputs)] if contents else []
    names = [orjson.dumps(each.filename) for each in found]
    return Block(
        rest.first_row,
        len(found),
        groups,
        [names],
        rest,
        list(errors.values()),
        [each.filename for each in found],
    )


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | str:
    """Return what a file holds, or why it cannot be had."""
    if member.flag_bits & _ENCRYPTED:
        return "expected a file that is not encrypted"
    if member.compress_type not in _METHODS:
        return f"expected a file that is stored or deflated, got one of method {member.compress_type}"
    if member.file_size > MAX_UPLOAD_BYTES:
        return f"expected at most {MAX_UPLOAD_BYTES:,} bytes in a file, got {member.file_size:,}"
    try:
        # Not `archive.read`: it unpacks all there is, and cuts it to the length that the directory tells.
        with archive.open(member) as file:
            content = file.read(member.file_size)
        if len(content) == member.file_size:
            return content
    except _FAULTS:
        pass  # told below
    return "expected a file as the archive's directory tells of it, got another length or checksum"


class _Part:
    """A source: a chunk's bytes from 0 on, then its records, then an end that tells of those."""

    def __init__(self, source: Source, chunk: Chunk, records: bytes, files: int) -> None:
        self._source, self._from = source, chunk.start
        # Of a file that is longer than an end can tell of nothing is read.
        self._to = min(chunk.stop - chunk.start, MAX_PART_BYTES)
        self._tail = records + _END.pack(b"PK\x05\x06", files, files, len(records), self._to)
        self.size = self._to + len(self._tail)

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Return these bytes."""
        data = b""
        if start < self._to:
            data = bytes(self._source.read(self._from + start, self._from + min(stop, self._to)))
        return data + self._tail[max(start - self._to, 0) : max(stop - self._to, 0)]


def _members(source: Source) -> tuple[list[_Member], int]:
    """Return the files in the order of their places, and where the directory begins."""
    with _damage(), zipfile.ZipFile(SourceFile(source)) as archive:
        found, start = archive.infolist(), archive.start_dir
        if len(found) > MAX_FILES:
            raise UnreadableFileError(f"at most {MAX_FILES:,} files were expected, got {len(found):,}")
        members = []
        directory = bytes(source.read(start, source.size))
        for info, record in zip(found, _records(directory), strict=True):
            if not 0 <= info.header_offset < start:
                raise UnreadableFileError("broken ZIP: a file that does not lie in the archive")
            if _is_row(info):
                place = (start + record[0], start + record[1])
                members.append(_Member(info.header_offset, place, info.file_size))
    members.sort(key=lambda each: each.start)
    return members, start


def _records(directory: bytes) -> Iterator[tuple[int, int]]:
    """Yield from where to where each record is."""
    at = 0
    while directory[at : at + 4] == _RECORD_MARK and at + _RECORD.size <= len(directory):
        _, name, extra, comment = _RECORD.unpack_from(directory, at)
        stop = at + _RECORD.size + name + extra + comment
        yield at, stop
        at = stop


def _is_row(info: zipfile.ZipInfo) -> bool:
    parts = info.filename.split("/")
    return not info.is_dir() and "__MACOSX" not in parts and not parts[-1].startswith(".")


@contextmanager
def _damage() -> Iterator[None]:
    """Tell what is wrong with an archive as a whole."""
    try:
        yield
    except _FAULTS as fault:
        raise UnreadableFileError("broken ZIP: no archive, or a directory that is damaged") from fault
