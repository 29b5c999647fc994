"""Odd files all the way, from the object to the report: clear words, and nothing half-written."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from arro3.core import Array, Table
from arro3.io import write_parquet

from hotplate.batch import texts
from tests.support.batch import loaded_affine, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.batch import World

ROWS = np.arange(60, dtype=np.float32).reshape(20, 3)


@pytest.fixture(scope="module")
def model() -> Any:
    return loaded_affine()


@pytest.fixture
def batch(model: Any) -> Iterator[World]:
    with world(model=model, rows_in_chunk=200) as found:
        yield found


def csv_of(*, end: str = "\n", rows: int = len(ROWS)) -> bytes:
    lines = ["a,b,c", *(",".join(map(str, row)) for row in ROWS[:rows].tolist())]
    return "".join(line + end for line in lines).encode()


def parquet_of(rows: int = len(ROWS)) -> bytes:
    file = io.BytesIO()
    columns = [Array(np.ascontiguousarray(ROWS[:rows, at])) for at in range(3)]
    write_parquet(Table.from_arrays(columns, names=["a", "b", "c"]), file, max_row_group_size=7)
    return file.getvalue()


def bomb(first: bytes) -> bytes:
    """Return `first` and 300 MB of line ends, as 300 kB: a megabyte that is compressed once, 300 times."""
    packer = zlib.compressobj(9, wbits=-15)
    once = packer.compress(b"\n" * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    head = zlib.compressobj(9, wbits=-15)
    begun = head.compress(first) + head.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + begun + once * 300 + b"\x03\0" + bytes(8)


def worked(batch: World, name: str, body: bytes) -> tuple[dict[str, Any], set[str]]:
    """Return the report of a file, and the names of what lies beside it."""
    key = f"in/acme/affine/{name}"
    batch.put(body, key)
    batch.work()
    assert (batch.logged, batch.queue.given_up) == ([], [])
    folder = f"out/acme/affine/{name}/"
    return batch.report(key), {each.removeprefix(folder) for each in batch.names(folder)}


UNREADABLE = {
    "empty.csv": (b"", "the file is empty"),
    "empty.parquet": (b"", "the file is empty"),
    "empty.npy": (b"", "the file is empty"),
    "ends.csv": (b"\n\r\n\n", "the file has no rows, only line ends"),
    "truncated.parquet": (parquet_of()[:-20], "Parquet"),
    "truncated.csv.gz": (gzip.compress(csv_of(), mtime=0)[:-30], "the file ends before its data does"),
    "quote.csv": (csv_of() + b'1,"2,3\n' + csv_of()[6:], "quote"),
    "utf16.csv": (
        csv_of().decode().encode("utf-16"),
        "text in UTF-8 was expected, the file begins as UTF-16",
    ),
    "utf16le.csv": (csv_of().decode().encode("utf-16-le"), "text in UTF-8 was expected, got a zero byte"),
    "utf16.jsonl": ('{"x": [1, 2, 3]}\n'.encode("utf-16"), "text in UTF-8 was expected"),
    "other.csv": (b"a,b\n1,2\n", "no column is input 'x'"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_file_that_cannot_be_read_is_told_and_nothing_is_written_beside_the_report(
    batch: World, name: str
) -> None:
    body, words = UNREADABLE[name]
    report, written = worked(batch, name, body)
    assert report["state"] == "failed"
    assert words in report["reason"]
    assert report["rows"] == {"read": 0, "predicted": 0, "failed": 0}
    assert (report["files"], written) == ({}, {"report.json"})
    assert batch.models.asked == []


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.jsonl.gz"])
def test_bomb_is_told_at_256_mib_and_nothing_is_predicted(batch: World, name: str) -> None:
    body = bomb(csv_of() if "csv" in name else b'{"x": [1, 2, 3]}\n' * 20)
    report, written = worked(batch, name, body)
    assert report["state"] == "failed"
    assert f"over {texts.MAX_RATIO} times as much" in report["reason"]
    assert (report["files"], written) == ({}, {"report.json"})
    assert batch.models.asked == []


@pytest.mark.parametrize(
    ("name", "body", "rows"),
    [
        ("header.csv", b"a,b,c\n", 0),
        ("header.csv.gz", gzip.compress(b"a,b,c\n", mtime=0), 0),
        ("header.parquet", parquet_of(0), 0),
        ("one.csv", csv_of(rows=1), 1),
        ("one.csv.gz", gzip.compress(csv_of(rows=1), mtime=0), 1),
        ("one.jsonl", b'{"x": [0, 1, 2]}', 1),
        ("one.parquet", parquet_of(1), 1),
        ("mixed.csv", b"\r\n".join([csv_of(rows=9), *csv_of(end="\r").split(b"\r")[10:]]), len(ROWS)),
    ],
)
def test_small_and_oddly_ended_files_are_predicted(batch: World, name: str, body: bytes, rows: int) -> None:
    report, written = worked(batch, name, body)
    assert report["state"] == "succeeded"
    assert report["rows"] == {"read": rows, "predicted": rows, "failed": 0}
    if name.endswith((".csv", ".csv.gz")):
        _, *lines = batch.out("predictions.csv", f"in/acme/affine/{name}").splitlines()
        assert [list(map(float, line.split(b","))) for line in lines] == (2 * ROWS[:rows]).tolist()
    assert "errors.jsonl" not in written


def test_quote_that_opens_in_a_later_chunk_leaves_nothing_of_the_earlier_ones(batch: World) -> None:
    body = csv_of() + b"".join(csv_of()[6:] for _ in range(50)) + b'"1,2,3\n'
    report, written = worked(batch, "late.csv", body)
    assert report["state"] == "failed"
    assert "quote" in report["reason"]
    assert (report["files"], written) == ({}, {"report.json"})
