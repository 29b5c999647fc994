"""What a source is, by its bytes and name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from hotplate_tools.convert.kinds import KINDS, detect, is_entry_point
from hotplate_tools.failures import RefusedError

NPY = b"\x93NUMPY\x01\x00\x36\x00{'descr': '<f4', 'fortran_order': False, 'shape': ()}\n" + bytes(4)
HDF5 = b"\x89HDF\r\n\x1a\n"


def archive(file: Path, *names: str) -> Path:
    with zipfile.ZipFile(file, "w") as opened:
        for name in names:
            opened.writestr(name, NPY if name.endswith(".npy") else "{}")
    return file


def test_kind_is_told_by_bytes_and_name(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x08\x09")
    (tmp_path / "m.h5").write_bytes(HDF5)
    (tmp_path / "m.txt").write_bytes(b"tree\nversion=v4\n")
    (tmp_path / "m.ubj").write_bytes(b"{L\0\0\0\0\0\0\0\x07learner{")
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04.")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    files = {
        "onnx": tmp_path / "m.onnx",
        "h5": tmp_path / "m.h5",
        "pickle": tmp_path / "m.pkl",
        "savedmodel": tmp_path / "saved",
        "keras": archive(tmp_path / "m.keras", "config.json", "metadata.json", "model.weights.h5"),
        "skops": archive(tmp_path / "m.skops", "schema.json", "0.npy"),
        "pt2": archive(tmp_path / "m.pt2", "m/archive_format", "m/data/weights/w"),
        "torch": Path("package.module:factory"),
        "lightgbm": tmp_path / "m.txt",
        "xgboost": tmp_path / "m.ubj",
    }
    assert {kind: detect(file) for kind, file in files.items()} == {kind: kind for kind in KINDS}


@pytest.mark.parametrize(
    ("name", "body", "what"),
    [
        ("m.keras", HDF5, "named .keras, but holds h5"),
        ("m.skops", b"\x80\x04.", "does not hold skops"),
        ("m.onnx", HDF5, "named .onnx, but holds h5"),
        ("m.keras", b"PK\x03\x04", "broken archive"),
        ("m.pt", b"", "no kind of model"),
        ("m.csv", b"", "no kind of model"),
        ("m.txt", b"trees are green", "does not hold lightgbm"),
        ("m.json", b'{"name": "m"}', "does not hold xgboost"),
        ("m.lgb", b'{"learner": {}}', "named .lgb, but holds xgboost"),
        ("m.onnx", b"tree\n", "named .onnx, but holds lightgbm"),
    ],
)
def test_bytes_that_contradict_the_name_are_refused(
    tmp_path: Path, name: str, body: bytes, what: str
) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(RefusedError, match=what):
        detect(tmp_path / name)


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"neither a folder with model\.yaml nor a SavedModel"):
        detect(tmp_path)


@pytest.mark.parametrize("text", ["net:make", "a.b_c:d2"])
def test_entry_points(text: str) -> None:
    assert is_entry_point(text)


@pytest.mark.parametrize(
    "text", ["net", "net:", ":make", "net.py:make()", "../net:make", "s3://net", "a:b:c"]
)
def test_what_is_no_entry_point(text: str) -> None:
    assert not is_entry_point(text)
