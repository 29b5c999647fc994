"""Faults of any stage come out, and no thread is left behind."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hotplate.batch.engine import predict_chunk
from hotplate.batch.seekable import MemorySource
from hotplate.batch.stages import Ahead, Behind
from hotplate.errors import InferenceError, StoreUnavailableError
from tests.support.batch_rows import csv_of, model_of, predict_file

if TYPE_CHECKING:
    from hotplate.batch.layout import Chunk, Layout

ROWS = np.random.default_rng(1).random((500, 3), np.float32)
DATA = csv_of(ROWS, ids=False)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [each.name for each in threading.enumerate() if each.name.startswith("batch-")] == []


def layout_and_chunk() -> tuple[Layout, Chunk]:
    outcome = predict_file(DATA, "f.csv", batch_rows=7)
    return outcome.layout, outcome.chunks[0]


class BrokenSource(MemorySource):
    def read(self, start: int, stop: int) -> memoryview:
        raise StoreUnavailableError("503")


class BrokenSink(io.BytesIO):
    def write(self, data: object, /) -> int:
        raise StoreUnavailableError("503")


def test_a_source_that_breaks_is_told() -> None:
    layout, chunk = layout_and_chunk()
    with pytest.raises(StoreUnavailableError):
        predict_chunk(BrokenSource(DATA), layout, chunk, model_of(), io.BytesIO())


def test_a_sink_that_breaks_is_told() -> None:
    layout, chunk = layout_and_chunk()
    with pytest.raises(StoreUnavailableError):
        predict_chunk(MemorySource(DATA), layout, chunk, model_of(), BrokenSink())


def test_a_model_that_breaks_in_the_middle_is_told() -> None:
    layout, chunk = layout_and_chunk()
    calls: list[int] = []

    def breaking(inputs: object) -> dict[str, np.ndarray]:
        calls.append(1)
        raise MemoryError

    with pytest.raises(MemoryError):
        predict_chunk(MemorySource(DATA), layout, chunk, model_of(breaking), io.BytesIO())
    assert calls == [1]


def test_items_come_in_order_and_not_far_ahead() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    with Ahead(numbers()) as ahead:
        items = iter(ahead)
        assert next(items) == 0
        time.sleep(0.05)
        assert len(made) <= 5
        assert list(items) == list(range(1, 50))


def test_a_fault_behind_comes_out_at_the_next_item() -> None:
    done: list[int] = []

    def call(number: int) -> None:
        if number == 3:
            raise InferenceError("no")
        done.append(number)

    def put_all() -> None:
        with Behind(call) as behind:
            for number in range(1000):
                behind.put(number)

    with pytest.raises(InferenceError):
        put_all()
    assert done == [0, 1, 2]


def test_the_stages_are_timed() -> None:
    (report,) = predict_file(DATA, "f.csv").reports
    assert set(report.seconds) == {"read", "decode", "predict", "encode", "total"}
    assert report.seconds["total"] >= max(report.seconds[name] for name in ("predict", "encode"))
