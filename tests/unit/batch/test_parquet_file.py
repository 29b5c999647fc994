from __future__ import annotations

import io
from typing import Any

import arro3.core as arrow
import numpy as np
import pytest
from arro3.io import read_parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from hotplate.batch import thrift
from hotplate.batch.parquet_file import (
    BLOOM,
    CHUNK_INDEXES,
    COLUMNS,
    META_DATA,
    footer_bytes,
    read_footer,
    read_structs,
    top_columns,
)
from hotplate.batch.parquet_part import part_of
from hotplate.batch.seekable import MemorySource, SourceFile
from hotplate.errors import UnfitFileError, UnreadableFileError
from tests.support.batch_rows import (
    answers_in,
    manifest_of,
    model_of,
    parquet_of,
    parquet_rows,
    predict_file,
    table_of,
)

FIELDS = st.recursive(
    st.one_of(
        st.tuples(st.just(thrift.I64), st.integers(-(2**63), 2**63 - 1)),
        st.tuples(st.just(thrift.BINARY), st.binary(max_size=20)),
        st.sampled_from([(1, True), (2, False)]),
        st.builds(
            thrift.listed, st.just(thrift.I64), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20)
        ),
    ),
    lambda fields: st.tuples(st.just(thrift.STRUCT), st.dictionaries(st.integers(1, 40), fields, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(st.integers(1, 300), FIELDS, max_size=8))
def test_a_struct_comes_back(struct: Any) -> None:
    raw = thrift.encode(struct)
    assert thrift.decode(raw) == (struct, len(raw))


@given(st.binary(max_size=60))
def test_whatever_is_no_struct_is_refused(raw: bytes) -> None:
    try:
        thrift.decode(raw)
    except ValueError:
        return


@given(
    st.dictionaries(st.integers(1, 300), FIELDS, max_size=6),
    st.lists(FIELDS.map(lambda f: {1: f}), max_size=20),
)
def test_a_struct_is_walked_as_it_is_decoded(struct: Any, elements: list[Any]) -> None:
    struct[301] = thrift.listed(thrift.STRUCT, elements)
    raw = thrift.encode(struct)
    found = list(thrift.walk(raw, (301,)))
    fields = [(number, value) for number, (_, value) in sorted(struct.items()) if number != 301]
    assert [(number, value) for number, value, *_ in found] == fields + [(301, each) for each in elements]
    for number, value, start, stop in found:
        if number == 301:
            assert thrift.decode(raw[start:stop]) == (value, stop - start)


def test_a_real_footer_comes_back_byte_for_byte() -> None:
    raw = parquet_rows(np.ones((20, 3), np.float32), compression="snappy")
    length = int.from_bytes(raw[-8:-4], "little")
    footer = raw[-8 - length : -8]
    assert thrift.encode(thrift.decode(footer)[0]) == footer


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 6), st.integers(1, 7), st.sets(st.integers(0, 3), min_size=1), st.booleans())
def test_some_columns_of_some_groups_are_a_file(
    first: int, count: int, wanted: set[int], large: bool
) -> None:
    rows = np.arange(63, dtype=np.float32).reshape(21, 3)
    source = MemorySource(parquet_rows(rows, group_rows=3, compression="snappy"))
    footer = read_footer(source)
    names = [name for name, *_ in top_columns(footer.schema)]
    assert names == ["id", "a", "b", "c"]
    groups = footer.groups[first : first + count]
    columns: dict[str, Any] = {
        "id": [f"r{row}" for row in range(21)],
        **dict(zip("abc", rows.T.tolist(), strict=True)),
    }
    layout = predict_file(bytes(source.read(0, source.size)), "f.parquet", keep=("id",)).layout
    import hotplate.batch.parquet_part as part

    before = part.WHOLE_BYTES
    try:
        part.WHOLE_BYTES = 0 if large else before
        file = part_of(source, layout, [(each.start, each.stop) for each in groups], sorted(wanted))
    finally:
        part.WHOLE_BYTES = before
    assert isinstance(file, SourceFile) == large
    table = read_parquet(file).read_all()  # type: ignore[arg-type]
    assert table.column_names == [names[place] for place in sorted(wanted)]
    span = slice(3 * first, 3 * (first + count))
    for name in table.column_names:
        assert table.column(name).to_pylist() == columns[name][span]


@pytest.mark.parametrize(
    "compression", ["uncompressed", "snappy", "gzip(6)", "zstd(3)", "lz4_raw", "brotli(3)"]
)
@pytest.mark.parametrize("version", ["parquet_1_0", "parquet_2_0"])
def test_parquet_is_read_however_it_is_written(compression: str, version: Any) -> None:
    rows = np.random.default_rng(1).random((30, 3), np.float32)
    data = parquet_rows(rows, compression=compression, writer_version=version, bloom_filter_enabled=True)
    outcome = predict_file(data, "f.parquet", target_bytes=600, keep=("id",))
    assert len(outcome.chunks) > 1
    assert [y for _, y, _ in answers_in(outcome)] == (rows * np.float32(2)).tolist()


def test_what_is_joined_points_at_no_index_of_a_part() -> None:
    outcome = predict_file(
        parquet_rows(np.ones((30, 3), np.float32)), "f.parquet", target_bytes=1, keep=("id",)
    )
    source = MemorySource(outcome.body)
    groups = read_footer(source).groups
    assert len(groups) > 1
    for group in groups:
        (described,) = read_structs(source, (group.start, group.stop))
        for chunk in described[COLUMNS][1][1]:
            assert not set(CHUNK_INDEXES) & set(chunk)
            assert not set(BLOOM) & set(chunk[META_DATA][1])


def test_a_large_group_is_several_chunks() -> None:
    rows = np.random.default_rng(1).random((1000, 3), np.float32)
    data = parquet_rows(rows, group_rows=1000)
    outcome = predict_file(data, "f.parquet", target_bytes=2000, keep=("id",), batch_rows=64)
    assert len({chunk.groups for chunk in outcome.chunks}) == 1
    assert len(outcome.chunks) > 5
    assert [one for one, _, _ in answers_in(outcome)] == [f"r{row}" for row in range(1000)]


def test_what_is_kept_keeps_its_type() -> None:
    columns: dict[str, Any] = {
        "when": arrow.Array(np.arange(3)).cast(arrow.DataType.timestamp("us", tz="UTC")),
        "flag": arrow.Array([True, None, False], type=arrow.DataType.bool()),
        "tags": arrow.list_array(arrow.Array(np.array([0, 1, 1, 3], np.int32)), arrow.Array(np.arange(3))),
        "x[0]": np.ones(3),
        "x[1]": np.ones(3),
        "x[2]": np.ones(3),
    }
    data = parquet_of(columns, group_rows=2)
    outcome = predict_file(data, "f.parquet", target_bytes=1, keep=("tags", "when", "flag"))
    assert len(outcome.chunks) > 1
    before, after = table_of(data), table_of(outcome.body)
    assert list(after)[:3] == ["tags", "when", "flag"]
    assert {name: after[name] for name in ("when", "flag", "tags")} == {
        name: before[name] for name in ("when", "flag", "tags")
    }


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["1", "2"], "column 'a' is Utf8; input 'x' takes numbers"),
        (arrow.Array([True, False], type=arrow.DataType.bool()), "column 'a' is Boolean"),
    ],
    ids=["text", "booleans"],
)
def test_a_column_of_another_type_is_told(column: Any, words: str) -> None:
    data = parquet_of({"a": column, "b": np.ones(2), "c": np.ones(2)})
    with pytest.raises(UnfitFileError, match=words):
        predict_file(data, "f.parquet")


def test_whole_numbers_go_into_floats_and_not_back() -> None:
    from hotplate.protocol.types import MetadataTensor

    data = parquet_of({"a": np.arange(2), "b": np.arange(2, dtype=np.uint8), "c": np.ones(2, np.float32)})
    assert predict_file(data, "f.parquet").predicted == 2
    whole = manifest_of((MetadataTensor("x", "INT64", (-1, 3)),))
    with pytest.raises(UnfitFileError, match="column 'c' is Float32; input 'x' takes whole numbers"):
        predict_file(data, "f.parquet", model_of(manifest=whole))


def test_damage_inside_is_told_as_damage() -> None:
    data = bytearray(parquet_rows(np.random.default_rng(1).random((500, 3), np.float32), group_rows=500))
    data[40:1200] = b"\xff" * 1160
    with pytest.raises(UnreadableFileError, match="broken Parquet"):
        predict_file(bytes(data), "f.parquet", keep=("id",))


def with_metadata(number: int, field: Any) -> bytes:
    """Return a file whose columns' metadata have another field; None takes it away."""
    source = MemorySource(parquet_rows(np.ones((9, 3), np.float32)))
    footer = read_footer(source)
    groups = [read_structs(source, (group.start, group.stop))[0] for group in footer.groups]
    for group in groups:
        for chunk in group[COLUMNS][1][1]:
            meta = chunk[META_DATA][1]
            meta.pop(number)
            if field is not None:
                meta[number] = field
    return bytes(source.read(0, footer.data_stop)) + footer_bytes(footer.schema, groups)


@pytest.mark.parametrize(
    ("number", "field"),
    [
        (4, (thrift.I32, 99)),
        (1, (thrift.I32, 99)),
        (2, thrift.listed(thrift.BINARY, [b"x"])),
        (7, None),
        (9, (thrift.BINARY, b"x")),
        (9, (thrift.I64, -5)),
        (7, (thrift.I64, 10**12)),
    ],
    ids=["codec", "type", "encodings", "no size", "place", "before it", "beyond it"],
)
def test_a_footer_that_makes_no_sense_is_told(number: int, field: Any) -> None:
    with pytest.raises(UnreadableFileError, match="Parquet"):
        predict_file(with_metadata(number, field), "f.parquet", keep=("id",))


@pytest.mark.parametrize("share", [step / 60 for step in range(60)])
def test_a_damaged_footer_is_told_where_it_is_read(share: float) -> None:
    data = bytearray(parquet_rows(np.ones((9, 3), np.float32), group_rows=3))
    length = int.from_bytes(data[-8:-4], "little")
    data[len(data) - 8 - length + int(share * length)] ^= 0xFF
    try:
        footer = read_footer(MemorySource(bytes(data)))
    except UnreadableFileError:
        return
    assert sum(group.rows for group in footer.groups) == footer.rows


def test_a_window_at_a_time_is_read() -> None:
    reads: list[tuple[int, int]] = []

    class Source(MemorySource):
        def read(self, start: int, stop: int) -> memoryview:
            reads.append((start, stop))
            return super().read(start, stop)

    file = SourceFile(Source(bytes(range(250))), window_bytes=100, windows=2)
    assert file.read(3) == b"\0\1\2"
    file.seek(-10, io.SEEK_END)
    assert file.read() == bytes(range(240, 250))
    file.seek(95)
    assert file.read(10) == bytes(range(95, 105))
    assert reads == [(0, 100), (200, 250), (100, 200)]
