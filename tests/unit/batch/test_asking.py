from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotplate.errors import InferenceError, StepUnavailableError
from tests.support.batch_rows import csv_of, double, model_of, predict_file


def rows_of(count: int) -> Any:
    return np.stack([np.arange(count)] * 3, axis=1).astype(np.float32)


def failing_on(bad: set[int], error: Exception) -> Any:
    def answer(inputs: Any) -> Any:
        if bad & set(inputs["x"][:, 0].astype(int).tolist()):
            raise error
        return double(inputs)

    return answer


@settings(max_examples=25, deadline=None)
@given(bad=st.sets(st.integers(1, 59), max_size=10))
def test_rows_on_which_the_model_fails_are_set_aside(bad: set[int]) -> None:
    outcome = predict_file(
        csv_of(rows_of(60), ids=False), "f.csv", model_of(failing_on(bad, InferenceError("x")))
    )
    assert outcome.bad_rows == sorted(bad)
    assert {error.reason for error in outcome.errors} <= {"the model failed on this row"}


def test_one_bad_row_costs_few_runs_of_the_model() -> None:
    model = model_of(failing_on({1000}, InferenceError("x")))
    predict_file(csv_of(rows_of(4096), ids=False), "f.csv", model)
    assert len(model.predictor.rows) <= 26  # type: ignore[attr-defined]


@pytest.mark.parametrize("rows", [2, 500])
def test_a_model_that_fails_on_every_row_is_at_fault_itself(rows: int) -> None:
    model = model_of(failing_on(set(range(rows)), InferenceError("no")))
    with pytest.raises(InferenceError):
        predict_file(csv_of(rows_of(rows), ids=False), "f.csv", model)
    assert len(model.predictor.rows) < 60  # type: ignore[attr-defined]


def test_a_model_that_is_busy_fails_the_chunk() -> None:
    model = model_of(failing_on({3}, StepUnavailableError("busy")))
    with pytest.raises(StepUnavailableError):
        predict_file(csv_of(rows_of(9), ids=False), "f.csv", model)


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: {"y": x[:1] * 2, "word": np.array([b"a"], object)},
        lambda x: {"y": x, "word": x[:, 0].astype("S")},
    ],
    ids=["one row for all", "another datatype"],
)
def test_answers_that_are_not_what_the_manifest_says_are_the_models_fault(answer: Any) -> None:
    model = model_of(lambda inputs: answer(inputs["x"]) if len(inputs["x"]) > 1 else {})
    with pytest.raises(InferenceError):
        predict_file(csv_of(rows_of(40), ids=False), "f.csv", model)


def test_a_fault_of_another_kind_is_raised() -> None:
    def broken(inputs: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        predict_file(csv_of(rows_of(40), ids=False), "f.csv", model_of(broken))
