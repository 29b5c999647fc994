from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.evaluation import Call, Evaluation
from hotplate_tools.optimise.quality import largest_difference, quality, yardsticks

SCORES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], np.float32)


def rows(
    *calls: Mapping[str, Any], answers: list[dict[str, np.ndarray]], are_targets: bool = True
) -> Evaluation:
    """Return an evaluation that expects `calls`, or nothing, of as many calls as there are answers."""
    expected = calls or ({},) * len(answers)
    made = tuple(Call({}, {name: np.asarray(array) for name, array in one.items()}, 1) for one in expected)
    return Evaluation("rows.npz", "0" * 64, made, (), are_targets)


def measured(evaluation: Evaluation, reference: Any, answers: Any) -> dict[str, tuple[str, float]]:
    return {rule.output: (rule.metric, quality(rule, answers)) for rule in yardsticks(evaluation, reference)}


def test_expected_classes_of_scores_are_accuracy() -> None:
    answers = [{"y": SCORES}]
    evaluation = rows({"y": np.array([0, 1, 1, 1])}, answers=answers)
    assert measured(evaluation, answers, answers) == {"y": ("accuracy", 0.75)}
    assert measured(evaluation, answers, [{"y": SCORES[::-1]}]) == {"y": ("accuracy", 0.25)}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (np.array([1, 2, 3]), np.array([1, 2, 4])),
        (np.array([b"a", b"b", b"c"], object), np.array(["a", "b", "d"])),
    ],
)
def test_labels_are_compared_as_they_are(answer: np.ndarray, expected: np.ndarray) -> None:
    answers = [{"y": answer}]
    assert measured(rows({"y": expected}, answers=answers), answers, answers) == {
        "y": ("accuracy", round(2 / 3, 6))
    }


def test_targets_are_explained_variance_by_column() -> None:
    targets = np.array([[0.0, 100.0], [2.0, 104.0]], np.float32)
    answers = [{"y": targets + np.float32(1)}]
    # Squared error 4 of a spread of 2 in one column and 8 in the other.
    assert measured(rows({"y": targets}, answers=answers), answers, answers) == {"y": ("r2", 0.6)}
    perfect = [{"y": targets}]
    assert measured(rows({"y": targets}, answers=perfect), perfect, perfect) == {"y": ("r2", 1.0)}


def test_golden_scores_are_classes_and_golden_numbers_are_compared_by_size() -> None:
    answers = [{"p": SCORES, "t": np.array([3.0, 4.0], np.float32)}]
    evaluation = rows(answers[0], answers=answers, are_targets=False)
    other = [{"p": SCORES[[0, 1, 3, 3]], "t": np.array([3.0, 3.5], np.float32)}]
    assert measured(evaluation, answers, other) == {"p": ("accuracy", 0.75), "t": ("fidelity", 0.9)}


def test_without_expectations_the_float_form_is_the_reference() -> None:
    one = {"p": SCORES, "k": np.array([1, 2]), "t": np.array([[3.0], [4.0]], np.float32)}
    other = {"p": SCORES[[0, 0, 2, 3]], "k": np.array([1, 3]), "t": np.array([[3.0], [4.5]], np.float32)}
    evaluation = rows(answers=[one])
    assert measured(evaluation, [one], [one]) == {
        "p": ("agreement", 1.0),
        "k": ("agreement", 1.0),
        "t": ("fidelity", 1.0),
    }
    assert measured(evaluation, [one], [other]) == {
        "p": ("agreement", 0.75),
        "k": ("agreement", 0.5),
        "t": ("fidelity", 0.9),
    }
    assert {rule.reference for rule in yardsticks(evaluation, [one])} == {"float"}


def test_outputs_without_expectations_do_not_count_beside_one_with() -> None:
    answers = [{"p": SCORES, "extra": SCORES}]
    evaluation = rows({"p": np.array([0, 1, 0, 1])}, answers=answers)
    assert set(measured(evaluation, answers, answers)) == {"p"}


def test_rows_without_a_winner_are_left_out_of_agreement() -> None:
    tied = np.array([[0.5, 0.5], [0.9, 0.1]], np.float32)
    flipped = np.array([[0.4, 0.6], [0.9, 0.1]], np.float32)
    assert measured(rows(answers=[{"y": tied}]), [{"y": tied}], [{"y": flipped}]) == {"y": ("agreement", 1.0)}


def test_embedding_is_numbers_and_a_sure_classifier_is_not() -> None:
    embedding = np.array([[0.6, 0.8], [0.8, -0.6]], np.float32)
    sure = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    found = [yardsticks(rows(answers=[{"y": array}]), [{"y": array}])[0] for array in (embedding, sure)]
    assert [rule.metric for rule in found] == ["fidelity", "agreement"]


def test_calls_that_say_nothing_of_an_output_are_left_out() -> None:
    answers = [{"y": np.array([1])}, {"y": np.array([2])}]
    evaluation = rows({"y": np.array([1])}, {"z": np.array([1])}, answers=answers)
    assert measured(evaluation, answers, answers) == {"y": ("accuracy", 1.0)}


@pytest.mark.parametrize(
    ("expected", "answer", "message"),
    [
        (np.array([0, 2]), np.zeros((2, 2), np.float32), "class 2; the model has 2"),
        (np.array([0, 1]), np.zeros((2, 1), np.float32), "classes int64"),
        (np.array([[0], [1]]), np.zeros((2, 2), np.float32), "classes int64"),
        (np.array([0.5, 0.5]), np.zeros((2, 1), np.float32), "the model answers"),
        (np.array([0.5, 0.5]), np.zeros(2, np.float32), "all targets are the same"),
    ],
)
def test_expectations_that_do_not_fit_are_refused(
    expected: np.ndarray, answer: np.ndarray, message: str
) -> None:
    answers = [{"y": answer}]
    with pytest.raises(RefusedError, match=message):
        yardsticks(rows({"y": expected}, answers=answers), answers)


def test_answer_that_is_no_number_is_refused() -> None:
    reference = [{"y": np.array([[1.0], [2.0]], np.float32)}]
    rule = yardsticks(rows(answers=reference), reference)[0]
    with pytest.raises(RefusedError, match="no number"):
        quality(rule, [{"y": np.array([[1.0], [np.nan]], np.float32)}])


def test_largest_difference_is_of_floats_only() -> None:
    one = [{"y": np.array([1.0, 2.0]), "k": np.array([1])}]
    other = [{"y": np.array([1.0, 2.5]), "k": np.array([9])}]
    assert largest_difference(one, other) == 0.5
