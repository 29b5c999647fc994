"""A Parquet file whose damage ends the process that reads it: a report says so, no other chunk suffers."""

from __future__ import annotations

import faulthandler
import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

import numpy as np
from arro3.core import Array, Table
from arro3.io import read_parquet, write_parquet

from hotplate.batch.careful import ends_its_process
from hotplate.batch.engine import predict_chunk
from hotplate.batch.seekable import MemorySource
from hotplate.errors import StepError
from tests.support.batch import loaded_affine, world

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from hotplate.batch.report import ChunkReport

KEY = "in/acme/affine/rows.parquet"
# Of an index into a dictionary: how many bits it has. Lies behind the head of the first column's second page.
BIT_WIDTH_AT, BITS = 55, 255


def damaged() -> bytes:
    file = io.BytesIO()
    rows = np.arange(24, dtype=np.float32).reshape(8, 3) % 4
    columns = [Array(np.ascontiguousarray(np.tile(rows[:, at], 3))) for at in range(3)]
    write_parquet(Table.from_arrays(columns, names=["a", "b", "c"]), file, max_row_group_size=8)
    body = bytearray(file.getvalue())
    body[BIT_WIDTH_AT] = BITS
    return bytes(body)


def read(body: bytes) -> int:
    faulthandler.disable()  # which would tell of a process that is meant to end
    return read_parquet(body).read_all().num_rows


def test_child_ends_in_its_parents_place() -> None:
    assert ends_its_process(lambda: read(damaged()))
    assert not ends_its_process(lambda: 1 / 0)
    assert not ends_its_process(lambda: None)


def _in_child(body: bytes, chunk: Any, layout: Any, named: dict[str, Any]) -> tuple[ChunkReport, bytes]:
    part = io.BytesIO()
    return predict_chunk(MemorySource(body), layout, chunk, loaded_affine(), part, **named), part.getvalue()


def in_processes(ended: list[int]) -> Callable[..., ChunkReport]:
    """Return what predicts a chunk in a process of its own, as a function does; its end is a fault of its."""

    def predict(source: Any, layout: Any, chunk: Any, model: Any, sink: Any, **named: Any) -> ChunkReport:
        named.pop("deadline")
        body = bytes(source.read(0, source.size))
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as pool:
            try:
                report, part = pool.submit(_in_child, body, chunk, layout, named).result()
            except BrokenProcessPool as fault:
                ended.append(chunk.number)
                raise StepError("its function ended") from fault
        sink.write(part)
        return report

    return predict


def test_chunk_that_ends_its_process_fails_at_the_second_try_and_says_why(
    capfd: pytest.CaptureFixture[str],
) -> None:
    ended: list[int] = []
    with world(model=loaded_affine(), rows_in_chunk=200) as batch:
        batch.models.handler._predict_chunk = in_processes(ended)
        batch.put(damaged(), KEY)
        batch.work()
        report = batch.report(KEY)
        assert (report["state"], report["chunks"]["done"]) == ("failed_chunks", 2)
        (told,) = report["chunks"]["reasons"]
        assert told["chunk"] == 0
        assert "pages that end the process which reads them (row 0)" in told["reason"]
        assert ended == [0]
        assert batch.names(f"out/{KEY.removeprefix('in/')}/") == [
            f"out/{KEY.removeprefix('in/')}/report.json"
        ]
    capfd.readouterr()  # what Rust says of its end
