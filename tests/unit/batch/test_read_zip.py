"""Archives of files: each is a row, in the order in which they lie; what is wrong with one is its own."""

from __future__ import annotations

import io
import json
import random
import struct
import tracemalloc
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hotplate.batch.features import Feature
from hotplate.batch.read_zip import MAX_SPANS, check_zip, read_zip, zip_chunks
from hotplate.batch.seekable import MemorySource
from hotplate.errors import UnreadableFileError
from hotplate.limits import MAX_UPLOAD_BYTES
from hotplate.protocol.datatypes import from_name

if TYPE_CHECKING:
    from hotplate.batch.layout import Chunk
    from hotplate.batch.report import RowError

FEATURE = Feature("image_file", from_name("BYTES"), (), (1,), True)


class Counted(MemorySource):
    """Counts the bytes that are read."""

    count = 0

    def read(self, start: int, stop: int) -> memoryview:
        assert 0 <= start <= stop <= self.size
        self.count += stop - start
        return super().read(start, stop)


def archive(files: dict[str, bytes], *, method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as into:
        into.comment = comment
        for name, content in files.items():
            into.writestr(zipfile.ZipInfo(name), content, method)
    return made.getvalue()


def rows(
    source: MemorySource, chunk: Chunk, batch_rows: int = 3
) -> tuple[list[tuple[str, bytes]], list[RowError]]:
    """Return name and content of each good row, and what is told of the others."""
    good, bad = [], []
    for block in read_zip(source, chunk, FEATURE, batch_rows):
        bad += block.errors
        names = [json.loads(each) for each in block.kept[0]]
        assert names == list(block.names)
        for group in block.groups:
            contents = group.inputs["image_file"].tolist()
            good += [(names[place], each) for place, each in zip(group.places, contents, strict=True)]
    return good, bad


def files_of(count: int, seed: int = 1) -> dict[str, bytes]:
    chance = random.Random(seed)
    return {f"{n % 7}/№ {n}.png": chance.randbytes(chance.randrange(1, 3000)) for n in range(count)}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("target", [1, 2000, 10**9])
def test_chunks_hold_every_file_once_in_order(method: int, target: int) -> None:
    files = files_of(60)
    source = MemorySource(archive(files, method=method, comment=b"of a day"))
    chunks = list(zip_chunks(source, target))
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.first_row for chunk in chunks] == np.cumsum([0, *(c.rows for c in chunks)]).tolist()[:-1]
    assert [each for chunk in chunks for each in rows(source, chunk)[0]] == list(files.items())
    assert sum(chunk.rows for chunk in chunks) == check_zip(source) == 60


def test_what_is_left_over_of_a_chunk_is_read_from_there() -> None:
    files = files_of(20)
    source = MemorySource(archive(files))
    _, chunk = zip_chunks(source, source.size * 2 // 3)
    blocks = list(read_zip(source, chunk, FEATURE, 2))
    assert rows(source, blocks[1].rest)[0] == list(files.items())[chunk.first_row + 2 :]
    assert blocks[1].rest.first_row == chunk.first_row + 2


def test_worker_reads_its_own_files_and_records_only() -> None:
    source = Counted(archive(files_of(3000)))
    chunks = list(zip_chunks(source, 10_000))
    source.count = 0
    rows(source, chunks[len(chunks) // 2])
    assert source.count < 20_000 < source.size / 100


def test_folders_and_what_systems_leave_are_no_rows() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as into:
        into.mkdir("a")
        for name in ("a/1.png", "__MACOSX/a/._1.png", "a/.DS_Store", "a/2.png", "a/.hidden"):
            into.writestr(name, name)
    source = MemorySource(made.getvalue())
    assert check_zip(source) == 2
    (chunk,) = zip_chunks(source, 10**6)
    assert rows(source, chunk) == ([("a/1.png", b"a/1.png"), ("a/2.png", b"a/2.png")], [])


def test_archive_whose_directory_is_in_another_order_is_read_in_that_of_its_bytes() -> None:
    raw = archive(files_of(50))
    with zipfile.ZipFile(io.BytesIO(raw)) as read:
        start = read.start_dir
    end = raw.rindex(b"PK\x05\x06")
    records = [b"PK\x01\x02" + each for each in raw[start:end].split(b"PK\x01\x02")[1:]]
    random.Random(3).shuffle(records)
    source = MemorySource(raw[:start] + b"".join(records) + raw[end:])
    found = [each for chunk in zip_chunks(source, 9000) for each in rows(source, chunk)[0]]
    assert found == list(files_of(50).items())
    assert max(len(chunk.groups) for chunk in zip_chunks(source, 9000)) <= MAX_SPANS


def damaged(raw: bytes, name: bytes, at: int, value: bytes) -> bytes:
    """Return an archive with other bytes in a file's record."""
    place = raw.rindex(name) - 46 + at
    return raw[:place] + value + raw[place + len(value) :]


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (8, struct.pack("<H", 1), "not encrypted"),
        (10, struct.pack("<H", 12), "got one of method 12"),
        (16, b"\0\0\0\0", "another length or checksum"),
        (24, struct.pack("<I", MAX_UPLOAD_BYTES + 1), "at most 67,108,864 bytes in a file, got 67,108,865"),
    ],
    ids=["encrypted", "bzip2", "checksum", "too long"],
)
def test_file_that_cannot_be_had_is_set_aside_with_its_name(at: int, value: bytes, words: str) -> None:
    files = {f"{n}.png": b"content %d" % n for n in range(5)}
    source = MemorySource(damaged(archive(files), b"3.png", at, value))
    (chunk,) = zip_chunks(source, 10**6)
    good, (error,) = rows(source, chunk)
    assert [name for name, _ in good] == ["0.png", "1.png", "2.png", "4.png"]
    assert (error.row, error.file, error.field) == (3, "3.png", "content")
    assert words in error.reason


def test_file_that_becomes_longer_than_its_record_tells_is_set_aside() -> None:
    raw = archive({"a.png": bytes(5 * 10**7), "b.png": b"b"}, method=zipfile.ZIP_DEFLATED)
    source = MemorySource(damaged(raw, b"a.png", 24, struct.pack("<I", 100)))
    (chunk,) = zip_chunks(source, 10**6)
    tracemalloc.start()
    try:
        good, (error,) = rows(source, chunk)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (good, error.file) == ([("b.png", b"b")], "a.png")
    assert most < 5 * 10**6, "unpacked beyond the length that its record tells"


def test_archive_with_something_before_it_is_read_as_zip_programs_read_it() -> None:
    files = files_of(20)
    source = MemorySource(b"#!/bin/sh\n" + bytes(5000) + archive(files))
    found = [rows(source, chunk) for chunk in zip_chunks(source, 4000)]
    assert [each for good, _ in found for each in good] == list(files.items())
    assert not any(bad for _, bad in found)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "broken ZIP"),
        (b"no archive at all", "broken ZIP"),
        (archive(files_of(9))[:-30], "broken ZIP"),
        (archive({}), "holds no files"),
        (archive({"a/": b""}), "holds no files"),
    ],
    ids=["empty", "text", "cut off", "of nothing", "of a folder"],
)
def test_what_is_no_archive_is_told(body: bytes, words: str) -> None:
    with pytest.raises(UnreadableFileError, match=words):
        check_zip(MemorySource(body))


def test_bomb_is_refused_before_anything_is_unpacked() -> None:
    packed = zlib.compress(bytes(10**7), 9)
    raw = archive({f"{n}": packed[:100] for n in range(30)})
    for n in range(30):
        raw = damaged(raw, b"%d" % n, 24, struct.pack("<I", 10**9)) if n > 9 else raw
    with pytest.raises(UnreadableFileError, match=r"become 20,\d+,\d+,\d+ bytes, over 200 times"):
        check_zip(MemorySource(raw))


def test_damage_anywhere_is_told_or_set_aside_and_never_another_fault() -> None:
    raw, chance = archive(files_of(12)), random.Random(5)
    for _ in range(300):
        broken: Any = bytearray(raw)
        for _ in range(3):
            broken[chance.randrange(len(raw))] = chance.randrange(256)
        source = MemorySource(bytes(broken))
        try:
            check_zip(source)
            for chunk in zip_chunks(source, 5000):
                good, bad = rows(source, chunk)
                assert len(good) + len(bad) == chunk.rows
        except UnreadableFileError:
            continue
