from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotplate.batch.layout import BatchOptions, Chunk, Dialect, Layout
from hotplate.batch.records import cut
from hotplate.batch.seekable import MemorySource
from hotplate.batch.text_chunks import text_chunks
from hotplate.errors import UnreadableFileError

DIALECT = Dialect()
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
FIELDS = st.text(st.sampled_from('ab,"\n\r é;'), max_size=6)
RECORDS = st.lists(st.tuples(st.lists(FIELDS, min_size=2, max_size=4), ENDS), max_size=12)


def written(records: list[tuple[list[str], str]]) -> bytes:
    """Write records as any spreadsheet does, each with its own line end."""
    out = io.StringIO()
    for fields, end in records:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(fields)
        out.write(line.getvalue() + end)
    return out.getvalue().encode()


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@given(RECORDS)
def test_records_are_those_of_the_standard_library(records: list[tuple[list[str], str]]) -> None:
    data = written(records)
    found = cut(data, DIALECT, is_end=True)
    texts = [data[start:stop] for start, stop in zip(found.starts, found.stops, strict=True)]
    assert [row for text in texts for row in read(text)] == [fields for fields, _ in records]
    assert len(texts) == len(records)
    assert found.stop == len(data)


@given(RECORDS, st.integers(0, 40))
def test_a_cut_off_text_gives_the_records_that_are_whole(
    records: list[tuple[list[str], str]], left: int
) -> None:
    data = written(records)
    part = data[: max(0, len(data) - left)]
    whole, found = cut(data, DIALECT, is_end=True), cut(part, DIALECT, is_end=False)
    assert found.stops.tolist() == [stop for stop in whole.stops.tolist() if stop <= found.stop]
    assert found.starts.tolist() == whole.starts[: len(found)].tolist()


def layout_of(data: bytes) -> Layout:
    return Layout("csv", ("a",), (), (), 0, len(data), BatchOptions(), dialect=DIALECT)


@given(RECORDS, st.integers(1, 60))
def test_chunks_hold_every_record_once_in_order(records: list[tuple[list[str], str]], target: int) -> None:
    data = written(records)
    found = list(text_chunks(MemorySource(data), layout_of(data), target, None))
    rows = [row for chunk in found for row in read(data[chunk.start : chunk.stop]) if row]
    assert rows == [fields for fields, _ in records]
    assert [chunk.first_row for chunk in found] == [
        sum(c.rows for c in found[:at]) for at in range(len(found))
    ]
    assert sum(chunk.rows for chunk in found) == len(records)
    assert [chunk.number for chunk in found] == list(range(len(found)))
    assert all(chunk.rows for chunk in found) or found == [Chunk(0, 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"a\n\n\nb\n", [b"a\n", b"b\n"]),
        (b"\r\n\r\na\r\n", [b"a\r"]),
        (b"a\rb\nc\r\nd", [b"a\r", b"b\n", b"c\r", b"d"]),
        (b'5" pipe,1\n6" pipe,2\n"x\ny",3\n', [b'5" pipe,1\n', b'6" pipe,2\n', b'"x\ny",3\n']),
        (b'"a""b\n",1\n2,3\n', [b'"a""b\n",1\n', b"2,3\n"]),
        (b"", []),
    ],
    ids=["blank lines", "CR LF", "mixed ends", "stray quotes", "doubled quotes", "nothing"],
)
def test_what_is_a_record(data: bytes, records: list[bytes]) -> None:
    found = cut(data, DIALECT, is_end=True)
    assert [data[start:stop] for start, stop in zip(found.starts, found.stops, strict=True)] == records


def test_quotes_of_json_hide_no_line_end() -> None:
    assert len(cut(b'{"a": 1}\n{"b": "\n', None, is_end=True)) == 2


@pytest.mark.parametrize(
    "data", [b'a,b\n1,"2\n3,4\n', b'5",1\n"2,3\n4,5\n'], ids=["plain", "beside stray ones"]
)
def test_a_quote_that_never_closes_is_told_by_its_row(data: bytes) -> None:
    with pytest.raises(UnreadableFileError, match="never closes") as caught:
        cut(data, DIALECT, is_end=True, byte=100, row=7)
    assert caught.value.byte == 100 + data.index(b"\n") + 1
    assert caught.value.row == 8
