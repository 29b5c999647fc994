"""Compressed texts, arrays, and parts that are no parts."""

from __future__ import annotations

import gzip
import io
import zipfile
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from hotplate.batch import texts
from hotplate.batch.join import finish
from hotplate.batch.seekable import MemorySource
from hotplate.errors import UnfitFileError, UnreadableFileError
from hotplate.protocol.types import MetadataTensor
from tests.support.batch_rows import (
    csv_of,
    lines_of,
    manifest_of,
    model_of,
    parquet_rows,
    predict_file,
)

ROWS = np.random.default_rng(9).random((300, 3), np.float32)
DATA = csv_of(ROWS, ids=False)


def zstd(data: bytes) -> bytes:
    try:
        module = import_module("compression.zstd")
    except ImportError:
        module = import_module("backports.zstd")
    packed: bytes = module.compress(data, options={module.CompressionParameter.checksum_flag: 1})
    return packed


PACKED = {
    "gzip": gzip.compress(DATA, mtime=0),
    "gzip members": gzip.compress(DATA[:1000], mtime=0) + gzip.compress(DATA[1000:], mtime=0) + b"\0" * 512,
    "zstd": zstd(DATA),
    "zstd frames": zstd(DATA[:1000]) + zstd(DATA[1000:]),
}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("target", [500, 10**9])
def test_a_compressed_file_gives_what_the_plain_one_gives(kind: str, target: int) -> None:
    outcome = predict_file(PACKED[kind], "f.csv.gz", target_bytes=target)
    assert outcome.body == predict_file(DATA, "f.csv").body
    assert all(chunk.is_piece for chunk in outcome.chunks)


@pytest.mark.parametrize("kind", PACKED)
def test_small_blocks_give_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = predict_file(PACKED[kind], "f.csv.gz", target_bytes=700)
    monkeypatch.setattr(texts, "BLOCK_BYTES", 97)
    assert predict_file(PACKED[kind], "f.csv.gz", target_bytes=700).body == whole.body


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut off", "turned"])
def test_a_broken_compressed_file_is_told_apart(kind: str, damage: str) -> None:
    data = bytearray(PACKED[kind])
    if damage == "cut off":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 0xFF
    with pytest.raises(UnreadableFileError, match=f"broken {kind}"):
        predict_file(bytes(data), "f.csv.gz")


@pytest.mark.parametrize("pack", [lambda data: gzip.compress(data, mtime=0), zstd], ids=["gzip", "zstd"])
def test_a_bomb_is_refused_before_it_is_whole(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "RATIO_FROM_BYTES", 2**20)
    monkeypatch.setattr(texts, "BLOCK_BYTES", 2**16)
    with pytest.raises(UnreadableFileError, match="over 200 times as much"):
        predict_file(pack(b"a,b,c\n" + b"1,2,3\n" * 10**6), "f.csv.gz")


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def opened(body: bytes) -> dict[str, Any]:
    return dict(np.load(io.BytesIO(body), allow_pickle=False).items())


@pytest.mark.parametrize("name", ["f.npy", "f.npz"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i2"])
@pytest.mark.parametrize("target", [100, 10**9])
def test_arrays_give_arrays(name: str, dtype: str, target: int) -> None:
    rows = (ROWS * 100).astype(dtype)
    outcome = predict_file(
        npy(rows) if name == "f.npy" else npz(other=[1], x=rows), name, target_bytes=target
    )
    found = opened(outcome.body)
    assert (len(outcome.chunks) > 10) == (target == 100)
    assert found["row"].tolist() == list(range(300))
    assert found["y"].tobytes() == (rows.astype("<f4") * np.float32(2)).tobytes()
    assert found["word"][:2].tolist() == ["größer".encode()] * 2


def test_texts_in_arrays_are_as_long_as_the_longest() -> None:
    specs = (MetadataTensor("x", "BYTES", (-1,)),), (MetadataTensor("y", "BYTES", (-1,)),)
    model = model_of(lambda inputs: {"y": inputs["x"]}, manifest_of(*specs))
    outcome = predict_file(npy(np.array(["a", "ä", "longer"])), "f.npy", model, target_bytes=1)
    assert len(outcome.chunks) == 3
    assert opened(outcome.body)["y"].tolist() == [b"a", "ä".encode(), b"longer"]


def test_bad_rows_of_arrays_are_not_in_the_answer() -> None:
    rows = ROWS.astype(np.float64)
    rows[7, 1], rows[8, 0] = 1e300, np.nan
    outcome = predict_file(npy(rows), "f.npy", batch_rows=50)
    assert outcome.bad_rows == [7, 8]
    assert opened(outcome.body)["row"].tolist() == [row for row in range(300) if row not in (7, 8)]


def deflated() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, x=ROWS)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "error", "words"),
    [
        (npy(np.array([1, None])), "f.npy", UnreadableFileError, "pickles"),
        (npy(np.asfortranarray(ROWS)), "f.npy", UnreadableFileError, "Fortran order"),
        (npy(ROWS)[:-1], "f.npy", UnreadableFileError, "cut off"),
        (npy(ROWS.astype(complex)), "f.npy", UnreadableFileError, "numbers or texts"),
        (npy(np.float32(1)), "f.npy", UnreadableFileError, "numbers or texts"),
        (npy(ROWS[:, :2]), "f.npy", UnfitFileError, "no column is input 'x'"),
        (npz(x=ROWS, y=ROWS)[:-10], "f.npz", UnreadableFileError, "broken NPZ"),
        (npz(y=ROWS), "f.npz", UnfitFileError, "no column is input 'x'"),
        (npz(x=ROWS[:, :2]), "f.npz", UnfitFileError, r"float32 \[300, 2\]; input 'x' is FP32 \[-1, 3\]"),
        (deflated(), "f.npz", UnreadableFileError, "deflated"),
        (parquet_rows(ROWS), "f.parquet", UnfitFileError, "compressed as a whole"),
    ],
)
def test_an_array_that_cannot_be_read_by_rows_is_told(
    data: bytes, name: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        predict_file(data, name, compression="gzip" if name == "f.parquet" else None)


def test_nothing_is_kept_of_arrays() -> None:
    with pytest.raises(UnfitFileError, match="no columns are kept"):
        predict_file(npy(ROWS), "f.npy", keep=("x",))


@pytest.mark.parametrize(("name", "data"), [("f.parquet", parquet_rows(ROWS)), ("f.npy", npy(ROWS))])
def test_what_is_no_part_is_told(name: str, data: bytes) -> None:
    outcome = predict_file(data, name, keep=("id",) if name == "f.parquet" else ())
    for parts in ([], [MemorySource(b"x")], [MemorySource(outcome.body), MemorySource(other(name))]):
        with pytest.raises(UnreadableFileError):
            finish(parts, outcome.layout, manifest_of(), io.BytesIO())


def other(name: str) -> bytes:
    return parquet_rows(ROWS) if name == "f.parquet" else npz(y=ROWS)


def test_the_same_rows_give_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    before = predict_file(npy(ROWS), "f.npy").body
    year = time.localtime(time.time() + 366 * 24 * 3600)
    monkeypatch.setattr(time, "localtime", lambda *_: year)
    assert predict_file(npy(ROWS), "f.npy").body == before


def test_an_archive_of_outputs_is_one_that_any_program_opens() -> None:
    outcome = predict_file(npy(ROWS), "f.npy", target_bytes=100)
    assert zipfile.ZipFile(io.BytesIO(outcome.body)).testzip() is None


def test_rows_that_a_changed_file_has_no_more_are_missed() -> None:
    from hotplate.batch.engine import predict_chunk

    outcome = predict_file(lines_of(ROWS[:5]), "f.jsonl")
    (chunk,) = outcome.chunks
    changed = MemorySource(lines_of(ROWS[:5]).replace(b"\n", b" ", 1))
    with pytest.raises(UnreadableFileError, match="5 rows were expected, got 4: the file was changed"):
        predict_chunk(changed, outcome.layout, chunk, model_of(), io.BytesIO())
