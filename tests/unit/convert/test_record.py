"""The parity record: read back as written, and believed of the graph it names alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotplate.manifest.schema import OutputParity, Parity
from hotplate_tools.convert.record import encode_record, read_record
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.graph import Graph

PARITY = Parity(
    framework="frame 1",
    rows=3,
    tolerance=1e-4,
    outputs={"y": OutputParity(1e-6, 1e-7, 1.0)},
    cases=("3 rows",),
)


def graph(folder: Path, body: bytes = b"graph", weights: bytes = b"weights") -> Graph:
    (folder / "model.data").write_bytes(weights)
    return Graph(body, {"model.data": folder / "model.data"}, (), ())


def record(folder: Path) -> Path:
    file = folder / "parity.json"
    file.write_bytes(encode_record(PARITY, graph(folder)))
    return file


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_record(record(tmp_path), graph(tmp_path)) == PARITY


@pytest.mark.parametrize(
    ("change", "what"), [({"body": b"other"}, "model.onnx"), ({"weights": b"other"}, "model.data")]
)
def test_record_of_other_bytes_is_refused(tmp_path: Path, change: dict[str, bytes], what: str) -> None:
    file = record(tmp_path)
    with pytest.raises(RefusedError, match=f"record of another graph: {what} there has SHA-256"):
        read_record(file, graph(tmp_path, **change))


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b'{"sha256": {}, "parity": {}}', b"[" * 100_000])
def test_file_that_is_no_record_is_refused(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "parity.json"
    file.write_bytes(raw)
    with pytest.raises(RefusedError, match=r"parity\.json is no parity record"):
        read_record(file, graph(tmp_path))
