"""What `hotplate bench warm` makes of the times it took."""

from __future__ import annotations

import numpy as np
import pytest

from hotplate_tools.bench.times import OURS, Times, Warm, as_data, as_text, spread
from hotplate_tools.bench.warm import _refuse_difference
from hotplate_tools.failures import FailedError

SEEN = Warm(
    "small",
    784,
    2,
    {
        "run": Times([0.1, 0.2, 0.3]),
        OURS[0]: Times([1.0, 2.0, 3.0], [0.1, 0.2, 0.3], [0.4, 0.5]),
        OURS[1]: Times([2.0, 4.0, 6.0], [0.2, 0.3, 0.4], [0.6, 0.7]),
        "nothing": Times([0.5, 0.6, 0.7]),
        "fastapi": Times([1.0, 2.0, 3.0]),
        "bentoml": Times([7.0, 8.0, 9.0]),
    },
)


def test_spread_is_the_median_the_tenths_and_the_least() -> None:
    assert spread([float(ms) for ms in range(1, 100)]) == {"p50": 50, "p10": 10, "p90": 90, "min": 1}
    assert spread([3.0]) == {"p50": 3, "p10": 3, "p90": 3, "min": 3}


def test_table_has_every_contender_and_ratios_to_hotplate() -> None:
    text = as_text(SEEN)
    assert text.splitlines()[-1].endswith("fastapi 0.50, bentoml 2.00")
    for name in SEEN.times:
        assert f"  {name} " in text


def test_json_has_what_was_taken_and_nothing_else() -> None:
    data = as_data(SEEN)
    assert data["floats"] == 784
    assert data["contenders"][OURS[1]]["outside_run_ms"]["p50"] == 0.3
    assert data["contenders"][OURS[1]]["first_outside_run_ms"]["min"] == 0.6
    assert set(data["contenders"]["fastapi"]) == {"requests", "whole_ms"}


def test_answer_that_differs_in_one_bit_ends_the_bench() -> None:
    right = np.array([1, 2], np.float32)
    _refuse_difference({"run": right, "fastapi": right.copy(), "nothing": np.empty(0, np.float32)})
    with pytest.raises(FailedError, match="fastapi does not answer"):
        _refuse_difference({"run": right, "fastapi": np.nextafter(right, np.float32(3))})
