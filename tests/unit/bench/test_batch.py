"""What `hotplate bench batch` makes of its figures."""

from __future__ import annotations

import pytest

from hotplate_tools.bench.batch import Batch, Engine, batch_data, batch_text
from hotplate_tools.bench.batch_memory import Peak, is_flat, peaks_text


def engine(*ratios: float) -> Engine:
    stages = {"read": 0.0, "decode": 0.2, "predict": 2.0, "encode": 0.1, "total": 2.1}
    return Engine(1000, 3, 0.5, 0.25, [2.0, 4.0, 3.0], [3.0, 5.0, 4.0], stages, list(ratios), [0.8, 0.7, 0.9])


def seen(*ratios: float) -> Batch:
    return Batch(6000, 4096, [2.0, 3.0, 2.0], {"parquet": engine(*ratios)}, (0, 2))


@pytest.mark.parametrize(("ratios", "is_within"), [((0.9, 0.7, 0.86), True), ((0.9, 0.7, 0.84), False)])
def test_the_median_of_the_rounds_is_held_against_the_bar(ratios: tuple[float, ...], is_within: bool) -> None:
    data = batch_data(seen(*ratios))
    assert data["is_within"] == is_within
    assert data["engines"]["parquet"]["ratio"] == sorted(ratios)[1]
    assert data["engines"]["parquet"]["rows_per_s"] == 2000
    assert data["bare_rows_per_s"] == 3000
    assert ("at least" if is_within else "UNDER") in batch_text(seen(*ratios))


def test_the_table_has_both_clocks() -> None:
    assert "86.0%" in batch_text(seen(0.86, 0.86, 0.86))
    assert "80.0%" in batch_text(seen(0.86, 0.86, 0.86))
    assert "0 are answered otherwise by one request, 2 by one each" in batch_text(seen(1, 1, 1))


@pytest.mark.parametrize(("last", "flat"), [(263.0, True), (265.0, False)])
def test_memory_may_grow_by_little_once_a_chunk_is_full(last: float, flat: bool) -> None:
    peaks: list[Peak] = [(10_000, 1, 90.0, 100.0), (1_000_000, 1, 99.0, 200.0), (10_000_000, 1, 99.0, last)]
    assert is_flat(peaks) == flat
    assert f"{last:,.0f}" in peaks_text("csv", peaks)
