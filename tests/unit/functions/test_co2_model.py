"""What the co2 model does around its graph, with a graph made here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from functions.co2.model import MAX_HORIZON, SCALER, TIMESTEPS, transforms
from hotplate.errors import RequestError, ShapeMismatchError, ValueRangeError

STEPS = transforms({SCALER: b'{"window": 2.0, "step": 0.5}'})


def one_more(feeds: Any) -> dict[str, Any]:
    """A graph that says one spread of a step up, and sees windows relative to their last value."""
    scaled = feeds["scaled"]
    assert (scaled.dtype, scaled.shape[1:]) == (np.float32, (TIMESTEPS, 1))
    assert (scaled[:, -1] == 0).all()
    return {"step": np.ones((len(scaled), 1), np.float32)}


def forecast(horizon: int, **inputs: Any) -> Any:
    return STEPS.apply({**inputs, "horizon": np.array([horizon])}, one_more)["forecast"]


def test_each_week_is_built_on_the_one_before() -> None:
    window = np.full((2, TIMESTEPS, 1), 300, np.float32)
    window[1] = 400
    found = forecast(3, window=window)
    assert found.dtype == np.float32
    assert found.tolist() == [[300.5, 301.0, 301.5], [400.5, 401.0, 401.5]]


def test_graph_sees_its_own_answers_in_the_scale_of_the_version() -> None:
    seen = []

    def graph(feeds: Any) -> Any:
        seen.append(feeds["scaled"][0, -2:, 0].tolist())
        return one_more(feeds)

    values = np.full(TIMESTEPS, 300, np.float32)
    STEPS.apply({"values": values, "horizon": np.array([2])}, graph)
    assert seen == [[0.0, 0.0], [-0.25, 0.0]]


def test_of_a_long_series_the_last_weeks_are_looked_at() -> None:
    values = np.concatenate([np.full(200, 1e6), np.full(TIMESTEPS, 300)]).astype(np.float32)
    assert forecast(1, values=values).tolist() == [[300.5]]


@pytest.mark.parametrize("horizon", [0, -1, MAX_HORIZON + 1])
def test_horizon_outside_of_a_year_is_refused(horizon: int) -> None:
    with pytest.raises(ValueRangeError, match=f"horizon: expected 1 to 52 weeks, got {horizon}"):
        forecast(horizon, values=np.zeros(TIMESTEPS, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_value_that_is_no_number_is_refused_by_its_place(value: float) -> None:
    window = np.zeros((2, TIMESTEPS, 1), np.float32)
    window[1, 7, 0] = value
    with pytest.raises(ValueRangeError, match=r"window\[1, 7, 0\]: expected a finite value"):
        forecast(1, window=window)


def test_series_shorter_than_a_year_is_refused() -> None:
    with pytest.raises(ShapeMismatchError, match="expected the last 52 weeks or more, got 51"):
        forecast(1, values=np.zeros(TIMESTEPS - 1, np.float32))


def test_no_series_are_no_forecasts() -> None:
    assert forecast(2, window=np.empty((0, TIMESTEPS, 1), np.float32)).shape == (0, 2)


@pytest.mark.parametrize("raw", [b"{}", b"x", b'{"window": 0, "step": 1}'])
def test_asset_that_is_no_scale_is_refused(raw: bytes) -> None:
    with pytest.raises((LookupError, ValueError)) as refused:
        transforms({SCALER: raw})
    assert not isinstance(refused.value, RequestError)
