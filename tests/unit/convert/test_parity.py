"""The gate: what passes, what is refused, and what the refusal shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hotplate.errors import InferenceError
from hotplate.manifest.schema import OutputParity
from hotplate_tools.convert.parity import Answered, answered, compare, up
from hotplate_tools.convert.rows import Case
from hotplate_tools.failures import RefusedError

ROWS = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], np.float32)


def pair(expected: Any, got: Any, label: str = "batch 2") -> Answered:
    return Answered(
        Case(label, {"x": np.zeros((2, 1), np.float32)}), {"y": np.asarray(expected)}, {"y": np.asarray(got)}
    )


def outcome(*pairs: Answered, tolerance: float = 1e-4) -> OutputParity:
    return compare("Frame", "frame 1", pairs, tolerance=tolerance, made_up=True).outputs["y"]


def test_equal_answers_are_recorded_as_equal() -> None:
    assert outcome(pair(ROWS, ROWS)) == OutputParity(0.0, 0.0, 1.0)


def test_record_says_what_was_compared() -> None:
    record = compare("F", "f 1", [pair(ROWS, ROWS), pair(ROWS, ROWS, "b")], tolerance=0.1, made_up=False)
    assert (record.framework, record.rows, record.cases) == ("f 1", 4, ("batch 2", "b"))


def test_difference_of_one_per_cent_is_refused_with_its_rows() -> None:
    nudged = ROWS.copy()
    nudged[1, 1] *= 1.01
    with pytest.raises(RefusedError) as refused:
        outcome(pair(ROWS, nudged))
    first, second, *_ = str(refused.value).splitlines()
    assert (
        first
        == "output 'y' differs from Frame's by up to 0.008, 1.00% of its largest value; allowed is 8e-05"
    )
    assert second == "  batch 2, row 1: Frame [0.1, 0.8, 0.1], ONNX [0.1, 0.808, 0.1], apart 0.008"


def test_a_cancelled_sum_is_measured_by_the_outputs_scale() -> None:
    expected = np.array([[100.0], [1e-6]], np.float32)
    assert outcome(pair(expected, expected + np.float32(1e-3))).max_rel <= 2e-5


def test_nan_and_infinity_agree_only_with_themselves() -> None:
    strange = np.array([[np.nan, np.inf, 1.0]], np.float32)
    assert outcome(pair(strange, strange)).max_abs == 0
    with pytest.raises(RefusedError, match="up to inf"):
        outcome(pair(strange, np.array([[0.0, np.inf, 1.0]], np.float32)))


def test_answers_that_are_all_zero_allow_no_difference() -> None:
    with pytest.raises(RefusedError, match="allowed is 0"):
        outcome(pair(np.zeros((2, 2)), np.full((2, 2), 1e-9)))


def test_one_wrong_label_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"1 of 2 labels(.|\n)*row 1: Frame 4, ONNX 5"):
        outcome(pair(np.array([3, 4]), np.array([3, 5])))


def test_text_labels_are_compared_as_text() -> None:
    got = np.array([b"a", "ß".encode()], object)
    assert outcome(pair(np.array(["a", "ß"]), got)) == OutputParity(0.0, 0.0, 1.0)


def test_rows_without_a_winner_do_not_count_as_labels() -> None:
    tie = np.array([[0.5, 0.5], [0.9, 0.1]], np.float32)
    other = np.array([[0.499999, 0.500001], [0.9, 0.1]], np.float32)
    assert outcome(pair(tie, other)).label_agreement == 1.0


def test_other_shape_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"gives shape \[2, 3\], the ONNX file \[1, 3\]"):
        outcome(pair(ROWS, ROWS[:1]))


def test_size_that_only_the_framework_takes_is_refused_by_its_name() -> None:
    def run(feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        raise InferenceError("the graph failed: Got 3 Expected 1\nmore")

    with pytest.raises(RefusedError, match=r"size baked in: at batch 3 Frame answers.*Got 3 Expected 1$"):
        answered("Frame", [Case("batch 3", {})], [{"y": ROWS}], run)


def test_size_that_the_framework_does_not_take_is_left_out() -> None:
    cases = [Case("batch 1, length 5", {}), Case("batch 1, length 33", {})]
    found = answered("Frame", cases, ["ValueError: too small", {"y": ROWS}], lambda feeds: {"y": ROWS})
    assert [one.case.label for one in found] == ["batch 1, length 33"]


def test_framework_that_answers_nothing_proves_nothing() -> None:
    with pytest.raises(RefusedError, match="answers none of the 1 calls: ValueError: no"):
        answered("Frame", [Case("batch 1", {})], ["ValueError: no"], lambda feeds: {})


@pytest.mark.parametrize(("value", "rounded"), [(0.0, 0.0), (1.2e-7, 2e-7), (3e-5, 3e-5), (9.1, 10.0)])
def test_figures_are_rounded_up(value: float, rounded: float) -> None:
    assert up(value) == rounded
