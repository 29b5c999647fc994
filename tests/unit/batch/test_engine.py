"""The whole way of a file: every row has one outcome, however the file is cut."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotplate.errors import UnfitFileError, UnreadableFileError
from tests.support.batch_rows import (
    Array,
    answers_in,
    csv_of,
    lines_of,
    model_of,
    parquet_rows,
    predict_file,
)

FORMATS: dict[str, tuple[str, Callable[[Array], bytes]]] = {
    "csv": ("rows.csv", csv_of),
    "csv of CR LF": ("rows.csv", lambda rows: csv_of(rows, end="\r\n")),
    "jsonl": ("rows.jsonl", lines_of),
    "jsonl in gzip": ("rows.jsonl.gz", lambda rows: gzip.compress(lines_of(rows), mtime=0)),
    "parquet": ("rows.parquet", parquet_rows),
}
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**100), max_value=2.0**100)
ROWS = st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=30).map(
    lambda rows: np.array(rows, np.float32)
)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=20, deadline=None)
@given(rows=ROWS, target=st.integers(1, 2000), batch=st.integers(1, 9))
def test_however_it_is_cut_the_rows_come_back_in_order_bit_for_bit(
    kind: str, rows: Array, target: int, batch: int
) -> None:
    name, write = FORMATS[kind]
    outcome = predict_file(write(rows), name, target_bytes=target, batch_rows=batch, keep=("id",))
    found = list(answers_in(outcome))
    assert [one for one, _, _ in found] == [f"r{row}" for row in range(len(rows))]
    assert np.array([y for _, y, _ in found], np.float32).tobytes() == (rows * np.float32(2)).tobytes()
    assert [word for _, _, word in found] == ["größer" if x > 0.5 else "low" for x in rows[:, 0]]
    assert outcome.predicted == len(rows)
    assert sum(chunk.rows for chunk in outcome.chunks) == len(rows)


@pytest.mark.parametrize("kind", FORMATS)
def test_one_pass_and_many_chunks_give_the_same_bytes(kind: str) -> None:
    rows = np.random.default_rng(3).random((40, 3), np.float32)
    name, write = FORMATS[kind]
    whole = predict_file(write(rows), name, keep=("id",))
    cut = predict_file(write(rows), name, target_bytes=100, keep=("id",))
    assert len(cut.chunks) > 3
    if kind == "parquet":  # a row group for each part
        assert list(answers_in(cut)) == list(answers_in(whole))
    else:
        assert cut.body == whole.body


@pytest.mark.parametrize("kind", FORMATS)
def test_what_there_was_no_time_for_is_the_remainder(kind: str) -> None:
    rows = np.random.default_rng(3).random((40, 3), np.float32)
    name, write = FORMATS[kind]
    outcome = predict_file(write(rows), name, deadline=time.monotonic(), batch_rows=6, keep=("id",))
    assert len(outcome.reports) > len(outcome.chunks)
    assert [one for one, _, _ in answers_in(outcome)] == [f"r{row}" for row in range(40)]
    assert [report.rows for report in outcome.reports][:2] == [6, 6]


BAD = {
    "csv": [
        b"x,1,2\n",
        b"x,1,2,3,4\n",
        b"x,1,abc,3\n",
        b"x,,2,3\n",
        b"x,1,1e39,3\n",
        b"x,nan,2,3\n",
        b"x,1,\xff,3\n",
    ],
    "jsonl": [
        b'{"x": [1, 2]}\n',
        b'{"x": [1, 2, "3"]}\n',
        b'{"y": [1, 2, 3]}\n',
        b'{"x": [1, 2, NaN]}\n',
        b'{"x": [1, 2, 1e39]}\n',
        b"[1, 2, 3]\n",
        b'{"x": [1, 2, 3], "id": "\xff"}\n',
        b'{"x": [1, null, 3]}\n',
        b'{"x": [1, true, 3]}\n',
    ],
}


@pytest.mark.parametrize(("kind", "line"), [(kind, line) for kind, lines in BAD.items() for line in lines])
def test_a_bad_row_alone_is_set_aside(kind: str, line: bytes) -> None:
    rows = np.random.default_rng(5).random((20, 3), np.float32)
    name, write = FORMATS[kind]
    lines = write(rows).splitlines(keepends=True)
    at = 11 + (kind == "csv")
    outcome = predict_file(b"".join([*lines[:at], line, *lines[at:]]), name, target_bytes=300, keep=("id",))
    assert outcome.bad_rows == [11]
    assert [one for one, _, _ in answers_in(outcome)] == [f"r{row}" for row in range(20)]
    assert outcome.errors[0].reason
    assert "abc" not in outcome.errors[0].reason


@pytest.mark.parametrize(
    ("kind", "line", "field", "reason"),
    [
        ("csv", b"x,1,abc,3\n", "b", "expected a number, got other text"),
        ("csv", b"x,,2,3\n", "a", "expected a number, got nothing"),
        ("csv", b"x,1\n", "", "expected 4 fields, got 2"),
        ("csv", b"x,nan,2,3\n", "x", "expected a finite number, got another"),
        ("jsonl", b'{"x": [1, 2, "3"]}\n', "x[2]", "Expected `float`, got `str`"),
        ("jsonl", b'{"id": 1}\n', "", "Object missing required field `x`"),
    ],
)
def test_an_error_says_what_was_expected_and_where(kind: str, line: bytes, field: str, reason: str) -> None:
    name, write = FORMATS[kind]
    data = write(np.ones((2, 3), np.float32)) + line
    (error,) = predict_file(data, name, keep=("id",)).errors
    assert (error.row, error.field, error.reason) == (2, field, reason)


def test_nulls_and_numbers_out_of_range_fail_their_rows_of_parquet() -> None:
    import arro3.core as arrow

    from tests.support.batch_rows import parquet_of

    columns: dict[str, Any] = {
        "a": arrow.Array([1.0, None, 3.0, 4.0], type=arrow.DataType.float64()),
        "b": np.array([1.0, 2.0, 1e300, 4.0]),
        "c": np.arange(4),
        "id": ["p", "q", "r", "s"],
    }
    outcome = predict_file(parquet_of(columns), "f.parquet", keep=("id",))
    assert [(error.row, error.field) for error in outcome.errors] == [(1, "a"), (2, "b")]
    assert [one for one, _, _ in answers_in(outcome)] == ["p", "s"]


def test_a_row_of_ten_megabytes_alone_fails() -> None:
    data = csv_of(np.ones((2, 3), np.float32)) + b"x," + b"1" * 10_000_000 + b",2,3\nlast,1,2,3\n"
    outcome = predict_file(data, "rows.csv", keep=("id",))
    assert outcome.bad_rows == [2]
    assert "bytes in a row, got 10,000,007" in outcome.errors[0].reason
    assert [one for one, _, _ in answers_in(outcome)] == ["r0", "r1", "last"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@settings(max_examples=15, deadline=None)
@given(bad=st.sets(st.integers(0, 29), max_size=8), batch=st.integers(1, 30))
def test_rows_that_the_model_refuses_are_found_and_no_others(kind: str, bad: set[int], batch: int) -> None:
    rows = np.random.default_rng(7).random((30, 3), np.float32)
    rows[sorted(bad), 1] = 1e30 if kind == "jsonl" else np.nan  # JSON has no NaN
    name, write = FORMATS[kind]
    outcome = predict_file(write(rows), name, model_of(refusing), batch_rows=batch, keep=("id",))
    assert outcome.bad_rows == sorted(bad)
    assert [one for one, _, _ in answers_in(outcome)] == [f"r{row}" for row in range(30) if row not in bad]
    assert all(error.reason == "expected less, got another" for error in outcome.errors)


def refusing(inputs: Any) -> Any:
    from hotplate.errors import ValueRangeError
    from tests.support.batch_rows import double

    if (inputs["x"] > 1e29).any() or np.isnan(inputs["x"]).any():
        raise ValueRangeError("x of row 3", expected="less", received="more")
    return double(inputs)


def test_a_text_cannot_hold_every_answer() -> None:
    def strange(inputs: Any) -> Any:
        x = inputs["x"]
        words = np.array([b"fine", b"\xff"], object)
        return {
            "y": np.where(x == 2, np.nan, x).astype(np.float32),
            "word": words[(x[:, 0] == 3).astype(int)],
        }

    data = lines_of(np.array([[1, 1, 1], [2, 1, 1], [3, 1, 1]], np.float32))
    outcome = predict_file(data, "rows.jsonl", model_of(strange), keep=("id",))
    assert [(error.row, error.field) for error in outcome.errors] == [(1, "y"), (2, "word")]
    assert [json.loads(line)["id"] for line in outcome.body.splitlines()] == ["r0"]
    csv = predict_file(csv_of(np.full((1, 3), 2, np.float32), ids=False), "rows.csv", model_of(strange))
    assert csv.body == b"y[0],y[1],y[2],word\nNaN,NaN,NaN,fine\n"


@pytest.mark.parametrize(
    ("data", "name", "error", "words"),
    [
        (b"", "f.csv", UnreadableFileError, "the file is empty"),
        (b"", "f.parquet", UnreadableFileError, "the file is empty"),
        (b"\xef\xbb\xbf", "f.csv", UnreadableFileError, "empty but for a byte order mark"),
        (b"\n\r\n", "f.csv", UnreadableFileError, "only line ends"),
        ("id,a\n".encode("utf-16"), "f.csv", UnreadableFileError, "UTF-16"),
        ("{}\n".encode("utf-16-le"), "f.jsonl", UnreadableFileError, "zero byte"),
        ("{}\n".encode("utf-32"), "f.jsonl", UnreadableFileError, "UTF-32"),
        (b'a,b,c\n1,2,3\n1,"2,3\n4,5,6\n', "f.csv", UnreadableFileError, "never closes .*row 1"),
        (b"no json\n", "f.jsonl", UnreadableFileError, "JSON Lines was expected"),
        (b"1,2,3\n", "f.txt", UnreadableFileError, "a name that ends with"),
        (b"PAR1 and so on PAR1", "f.parquet", UnreadableFileError, "broken Parquet"),
        (b"not parquet at all", "f.parquet", UnreadableFileError, "begins with PAR1"),
        (b"a,b\n1,2\n", "f.csv", UnfitFileError, "no column is input 'x'"),
        (b"a,b,c\n1,2,3\n", "f.npy", UnreadableFileError, "no NPY array"),
        (b"a,b,c\n1,2,3\n", "f.npz", UnreadableFileError, "broken NPZ"),
        (b"a,b,c\n1,2,3\n", "f.csv.gz", None, ""),
    ],
)
def test_a_file_that_is_none_is_told_apart(
    data: bytes, name: str, error: type[Exception] | None, words: str
) -> None:
    if error is None:
        assert predict_file(data, name).predicted == 1  # what it is called so is not believed
        return
    with pytest.raises(error, match=words):
        predict_file(data, name)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_parquet_is_told_apart(share: float) -> None:
    data = parquet_rows(np.ones((50, 3), np.float32))
    with pytest.raises(UnreadableFileError, match="cut off"):
        predict_file(data[: int(len(data) * share)], "f.parquet")


@pytest.mark.parametrize(
    ("name", "data"), [("f.csv", b"a,b,c\n"), ("f.parquet", parquet_rows(np.ones((0, 3), "f4")))]
)
def test_a_file_without_rows_is_one_chunk_without_rows(name: str, data: bytes) -> None:
    outcome = predict_file(data, name, keep=("id",) if name.endswith("parquet") else ())
    assert [chunk.rows for chunk in outcome.chunks] == [0]
    assert outcome.predicted == 0
    if name.endswith("csv"):
        assert outcome.body == b"y[0],y[1],y[2],word\n"


def test_one_row_without_a_header_or_a_line_end() -> None:
    outcome = predict_file(b"1,2,3", "f.csv")
    assert outcome.body == b"2.0,4.0,6.0,gr\xc3\xb6\xc3\x9fer\n"


def test_numbers_of_rows_can_come_first() -> None:
    outcome = predict_file(b"a,b,c\n1,2,3\n1,x,3\n0,2,3\n", "f.csv", row_numbers=True, outputs=("word",))
    assert outcome.body.decode() == "row,word\n0,größer\n2,low\n"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_numbers_of_rows_come_before_what_is_kept(kind: str) -> None:
    from tests.support.batch_rows import table_of

    name, write = FORMATS[kind]
    outcome = predict_file(
        write(np.ones((9, 3), np.float32)), name, target_bytes=60, keep=("id",), row_numbers=True
    )
    if kind == "parquet":
        table = table_of(outcome.body)
        assert list(table)[:2] == ["row", "id"]
        assert table["row"] == list(range(9))
    else:
        rows = [json.loads(line) for line in outcome.body.splitlines()]
        assert [(row["row"], row["id"]) for row in rows] == [(at, f"r{at}") for at in range(9)]
        assert list(rows[0]) == ["row", "id", "y", "word"]


@pytest.mark.parametrize(("name", "data"), [("f.csv", b"a,b,c\n1,2,3\n"), ("f.jsonl", b'{"x": [1, 2, 3]}\n')])
def test_a_byte_order_mark_of_utf_8_is_no_text(name: str, data: bytes) -> None:
    assert predict_file(b"\xef\xbb\xbf" + data, name).body == predict_file(data, name).body


def test_what_an_object_does_not_have_is_kept_as_null() -> None:
    outcome = predict_file(
        b'{"x": [1, 2, 3]}\n{"x": [1, 2, 3], "id": {"a": [1.50]}}\n', "f.jsonl", keep=("id",)
    )
    rows = outcome.body.splitlines()
    assert rows[0].startswith(b'{"id":null,"y":')
    assert rows[1].startswith(b'{"id":{"a": [1.50]},"y":')


def test_a_version_without_what_the_layout_names_is_refused() -> None:
    import io

    from hotplate.batch.engine import predict_chunk
    from hotplate.batch.seekable import MemorySource
    from hotplate.protocol.types import MetadataTensor
    from tests.support.batch_rows import manifest_of

    data = csv_of(np.ones((1, 3), np.float32), ids=False)
    outcome = predict_file(data, "f.csv")
    other = model_of(manifest=manifest_of((MetadataTensor("z", "FP32", (-1, 3)),)))
    with pytest.raises(UnfitFileError, match="no input 'x'"):
        predict_chunk(MemorySource(data), outcome.layout, outcome.chunks[0], other, io.BytesIO())


@pytest.mark.parametrize(
    ("inputs", "plan", "rows"),
    [
        ((("x", "FP32", (-1, 3)),), {}, 8192),
        ((("x", "FP32", (-1, 3)),), {"batch_size": 50}, 50),
        ((("x", "FP32", (-1, 784)),), {}, 334),
        ((("x", "FP32", (-1, 3_000_000)),), {}, 1),
        ((("x", "BYTES", (-1,)),), {}, 32),
        ((("x", "FP32", (-1, -1)),), {}, 32),
    ],
)
def test_how_many_rows_are_asked_at_once(inputs: Any, plan: Any, rows: int) -> None:
    from hotplate.batch.engine import batch_rows_of
    from hotplate.batch.features import features_of
    from hotplate.batch.layout import Binding, Layout
    from hotplate.protocol.types import MetadataTensor
    from tests.support.batch_rows import manifest_of

    manifest = manifest_of([MetadataTensor(*each) for each in inputs], **plan)
    layout = Layout("csv", ("x",), (Binding("x", (0,), True),), (), 0, 0)
    assert batch_rows_of(layout, manifest, features_of(layout, manifest)) == rows
