"""What holds a result against its bars, and what it is written as."""

from __future__ import annotations

import math

import pytest

from hotplate_tools.failures import RefusedError
from hotplate_tools.training.driver import read_trained_spec, refuse_under


def test_metric_at_its_bar_passes() -> None:
    refuse_under({"accuracy": 0.9}, {"accuracy": 0.9, "other": -5.0})


@pytest.mark.parametrize(
    ("metrics", "what"),
    [
        ({"accuracy": 0.8999}, "accuracy 0.8999 < 0.9"),
        ({"accuracy": math.nan}, "accuracy nan < 0.9"),
        ({}, "accuracy not measured < 0.9"),
    ],
)
def test_metric_under_its_bar_is_refused(metrics: dict[str, float], what: str) -> None:
    with pytest.raises(RefusedError, match=what) as refused:
        refuse_under({"accuracy": 0.9}, metrics)
    assert refused.value.exit_code == 3


def test_model_that_does_not_come_with_the_project_is_refused() -> None:
    with pytest.raises(RefusedError, match="no model 'no-such' comes with this project"):
        read_trained_spec("no-such")
