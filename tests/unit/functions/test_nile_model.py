"""What the nile model does around its graph; no session."""

from __future__ import annotations

import numpy as np
import pytest

from functions.nile.model import MAX_YEARS, postprocess, preprocess
from hotplate.errors import ShapeMismatchError, ValueRangeError


@pytest.mark.parametrize("years", [1, 2, MAX_YEARS])
def test_any_number_of_years_goes_on_as_it_came(years: int) -> None:
    flow = np.full((2, years), 900, np.float32)
    assert preprocess({"flow": flow})["flow"] is flow


@pytest.mark.parametrize("years", [0, MAX_YEARS + 1])
def test_no_year_and_too_many_are_refused(years: int) -> None:
    with pytest.raises(ShapeMismatchError, match=f"1 to 10000 years, got {years}"):
        preprocess({"flow": np.ones((1, years), np.float32)})


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, 1e6])
def test_what_no_river_has_is_refused_by_its_place(value: float) -> None:
    flow = np.full((2, 3), 900, np.float32)
    flow[1, 2] = value
    with pytest.raises(ValueRangeError, match=r"flow\[1, 2\]"):
        preprocess({"flow": flow})


def test_the_only_output_gets_its_name_and_is_never_negative() -> None:
    told = np.array([[812.5], [-3.0]], np.float32)
    assert postprocess({"slice_2": told})["next_flow"].tolist() == [[812.5], [0.0]]
