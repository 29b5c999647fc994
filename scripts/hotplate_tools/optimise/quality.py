"""How good answers are, as one number for each output: 1 is best.

| metric | output | compared with |
|---|---|---|
| accuracy | classes: integers, text, or the largest of scores | expected classes, or scores of golden rows |
| r2 | numbers | expected targets: 1 - squared error / squared distance of the targets from their mean |
| agreement | classes | the float form's |
| fidelity | numbers | the float form's, or golden rows: 1 - RMS difference / RMS of the reference |

Scores are what the parity gate takes for scores: two axes, two classes at least. Rows of length one are
not: they are an embedding. Outputs with expected answers count; only where none has any, all count,
compared with the float form's.

Pure: no file, no process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hotplate_tools.convert.parity import TOLERANCE, plain
from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate_tools.optimise.evaluation import Evaluation

__all__ = ["Yardstick", "largest_difference", "quality", "yardsticks"]

type Array = np.ndarray[Any, Any]
type Answers = Sequence[Mapping[str, Array]]
type Metric = Literal["accuracy", "r2", "agreement", "fidelity"]

# Figures are kept to so many digits: what comes after is noise of the last bit.
DIGITS = 6
# How far from one the length of an embedding's row may be: float32 and half of it round.
UNIT = 1e-2


@dataclass(frozen=True, slots=True)
class Yardstick:
    """How one output is measured.

    Attributes:
        output: Its name.
        metric, reference: As in the module's table.
        truths: What it is compared with, a call each; None where a call says nothing of this output.
        counted: Which elements have a clear class; None for all. A call each, where `truths` is.
    """

    output: str
    metric: Metric
    reference: Literal["expected", "float"]
    truths: tuple[Array | None, ...]
    counted: tuple[Array, ...] | None = None


def yardsticks(evaluation: Evaluation, answers: Answers) -> list[Yardstick]:
    """Return how the outputs are measured.

    Args:
        evaluation: The rows.
        answers: The float form's, by output name, a call each.

    Raises:
        RefusedError: Expected answers do not fit the answers that come.
    """
    found = []
    for name in answers[0]:
        truths = tuple(call.expected.get(name) for call in evaluation.calls)
        if any(truth is not None for truth in truths):
            found.append(_by_expected(name, truths, answers, are_targets=evaluation.are_targets))
    return found or [_by_float(name, [answer[name] for answer in answers]) for name in answers[0]]


def quality(yardstick: Yardstick, answers: Answers) -> float:
    """Return how good answers are by the yardstick, rounded.

    Raises:
        RefusedError: A number that is no number, where the reference has one.
    """
    pairs = [
        (truth, answer[yardstick.output])
        for truth, answer in zip(yardstick.truths, answers, strict=True)
        if truth is not None
    ]
    if yardstick.metric in ("accuracy", "agreement"):
        same = [_classes(got, truth.shape) == plain(truth) for truth, got in pairs]
        if yardstick.counted is not None:
            same = [cells[counted] for cells, counted in zip(same, yardstick.counted, strict=True)]
        return round(float(np.concatenate([cells.reshape(-1) for cells in same]).mean()), DIGITS)
    truth, got = (
        np.concatenate([part.reshape(-1).astype(np.float64) for part in parts])
        for parts in zip(*pairs, strict=True)
    )
    finite = np.isfinite(truth)
    if not np.isfinite(got[finite]).all():
        raise RefusedError(f"output {yardstick.output!r} is infinite or no number where it should not be")
    error = float(np.square(got[finite] - truth[finite]).sum())
    if yardstick.metric == "fidelity":
        size = float(np.square(truth[finite]).sum())
        return round(1 - (error / size) ** 0.5, DIGITS) if size else float(not error)
    return round(1 - error / _spread([pair[0] for pair in pairs]), DIGITS)


def largest_difference(one: Answers, other: Answers) -> float:
    """Return the largest absolute difference of any float element; 0 where there is none."""
    gaps = [
        float(np.abs(array.astype(np.float64) - match[name]).max())
        for answer, match in zip(one, other, strict=True)
        for name, array in answer.items()
        if array.dtype.kind == "f" and array.size
    ]
    return max(gaps, default=0.0)


def _by_expected(
    name: str, truths: tuple[Array | None, ...], answers: Answers, *, are_targets: bool
) -> Yardstick:
    pairs = [
        (truth, answer[name]) for truth, answer in zip(truths, answers, strict=True) if truth is not None
    ]
    truth, got = pairs[0]
    if truth.dtype.kind != "f":
        _refuse_other_classes(name, pairs)
        return Yardstick(name, "accuracy", "expected", truths)
    if any(expected.shape != answer.shape for expected, answer in pairs) or got.dtype.kind != "f":
        raise RefusedError(
            f"expected {name!r}: {truth.dtype} {list(truth.shape)}, the model answers "
            f"{got.dtype} {list(got.shape)}"
        )
    if are_targets:
        if not _spread([expected for expected, _ in pairs]):
            raise RefusedError(
                f"expected {name!r}: all targets are the same, so nothing is explained by them"
            )
        return Yardstick(name, "r2", "expected", truths)
    if _are_scores([expected for expected, _ in pairs]):
        labels = tuple(None if expected is None else expected.argmax(axis=1) for expected in truths)
        return Yardstick(name, "accuracy", "expected", labels)
    return Yardstick(name, "fidelity", "expected", truths)


def _by_float(name: str, answers: list[Array]) -> Yardstick:
    if answers[0].dtype.kind != "f":
        return Yardstick(name, "agreement", "float", tuple(answers))
    if _are_scores(answers):
        counted = _clear(answers)
        if any(cells.any() for cells in counted):
            labels = tuple(array.argmax(axis=1) for array in answers)
            return Yardstick(name, "agreement", "float", labels, counted)
    return Yardstick(name, "fidelity", "float", tuple(answers))


def _refuse_other_classes(name: str, pairs: Sequence[tuple[Array, Array]]) -> None:
    for truth, got in pairs:
        is_score = got.dtype.kind == "f"
        wanted = got.shape[:-1] if is_score else got.shape
        if truth.shape == wanted and (not is_score or (truth.dtype.kind in "iu" and got.shape[-1] > 1)):
            if is_score and truth.size and not 0 <= truth.min() <= truth.max() < got.shape[-1]:
                raise RefusedError(
                    f"expected {name!r} holds class {int(truth.max())}; the model has {got.shape[-1]}, from 0"
                )
            continue
        raise RefusedError(
            f"expected {name!r}: classes {truth.dtype} {list(truth.shape)}, the model answers "
            f"{got.dtype} {list(got.shape)}",
            advice="Give one integer for each row of scores; or targets as floats, of the answers' shape.",
        )


def _classes(got: Array, shape: tuple[int, ...]) -> Array:
    """Return classes: of scores, which have an axis more than `shape`, the largest."""
    return got.argmax(axis=-1) if got.dtype.kind == "f" and got.ndim == len(shape) + 1 else plain(got)


def _are_scores(arrays: Sequence[Array]) -> bool:
    if any(array.ndim != 2 or array.shape[1] < 2 for array in arrays):
        return False
    lengths = np.concatenate([np.linalg.norm(array.astype(np.float64), axis=1) for array in arrays])
    return not bool((np.abs(lengths - 1) < UNIT).all()) or all(_sum_to_one(array) for array in arrays)


def _sum_to_one(array: Array) -> bool:
    # A sure classifier's probabilities have length one too.
    return bool((array >= 0).all() and (np.abs(array.sum(axis=1, dtype=np.float64) - 1) < UNIT).all())


def _clear(scores: Sequence[Array]) -> tuple[Array, ...]:
    """Return which rows have a winner, by the parity gate's rule."""
    allowed = TOLERANCE * max(float(np.abs(array).max()) for array in scores)
    tops = [np.sort(array, axis=1)[:, -2:] for array in scores]
    return tuple(top[:, 1] - top[:, 0] > 2 * allowed for top in tops)


def _spread(truths: Sequence[Array]) -> float:
    """Return the squared distance of targets from the mean of their column, summed."""
    rows = np.concatenate([truth.astype(np.float64) for truth in truths])
    return float(np.square(rows - rows.mean(axis=0)).sum())
