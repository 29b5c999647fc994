"""The parity gate: does the ONNX file answer as the framework does?

Rules kept here:

1. The ONNX file is run by what serves, and at sizes that it was not exported with. Where the
   framework answers and the file does not, the export has its example's sizes baked in.
2. Numbers agree within `tolerance` times the output's scale, which is the largest magnitude of the
   framework's finite answers over all cases. The scale is the output's and not each element's,
   because a sum that cancels to nearly nothing keeps the rounding of its terms. NaN agrees with NaN.
3. Integers, booleans and text are labels: all must be equal.
4. What differs is shown, row by row, before the refusal.

Pure: no file, no process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import InferenceError
from hotplate.manifest.schema import OutputParity, Parity
from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hotplate_tools.convert.rows import Case

__all__ = ["TOLERANCE", "Answered", "answered", "compare", "plain", "up"]

type Array = np.ndarray[Any, Any]

# Ours. float32 keeps 6e-8; networks exported rightly were found within 1e-5 of their scale, and
# weights wrong by one per cent move answers by 1e-3 and more.
TOLERANCE = 1e-4

SHOWN_ROWS = 5
SHOWN_ELEMENTS = 4


@dataclass(frozen=True, slots=True)
class Answered:
    """A case with the framework's answers and the ONNX file's, by output name."""

    case: Case
    expected: Mapping[str, Array]
    got: Mapping[str, Array]


def answered(
    title: str,
    cases: Sequence[Case],
    references: Sequence[Mapping[str, Array] | str],
    run: Callable[[Mapping[str, Array]], Mapping[str, Array]],
) -> list[Answered]:
    """Return the cases that the framework answers, each with the answers of the ONNX file.

    Args:
        title: The framework, for messages.
        cases: What was asked.
        references: For each case the framework's outputs, or why it gave none (sizes that the
            network itself does not take: left out).
        run: The ONNX file's outputs for feeds; raises `InferenceError`.

    Raises:
        RefusedError: No case is answered by the framework; or one is, and not by the ONNX file.
    """
    found = []
    for case, expected in zip(cases, references, strict=True):
        if isinstance(expected, str):
            continue
        try:
            found.append(Answered(case, expected, run(case.feeds)))
        except InferenceError as fault:
            raise RefusedError(
                f"the export has a size baked in: at {case.label} {title} answers, the ONNX file does not: "
                f"{str(fault).splitlines()[0]}",
                advice="Export it with that dimension open (PyTorch: dynamic_shapes).",
            ) from fault
    if not found:
        reason = next((text for text in references if isinstance(text, str)), "nothing was asked")
        raise RefusedError(
            f"{title} itself answers none of the {len(cases)} calls: {reason}",
            advice="Give evaluation rows that fit the model: --rows FILE.",
        )
    return found


def compare(
    title: str, framework: str, pairs: Sequence[Answered], *, tolerance: float, made_up: bool
) -> Parity:
    """Return how far the answers are apart.

    Args:
        title: The framework, for messages.
        framework: With versions, for the record.
        pairs: At least one.
        tolerance: Largest difference allowed, relative to the output's scale.
        made_up: Whether the rows were made up.

    Raises:
        RefusedError: An output is missing, of another shape or kind, or farther off than allowed.
    """
    names = list(pairs[0].expected)
    outputs = {}
    for name in names:
        for pair in pairs:
            _refuse_other_form(title, name, pair)
        outputs[name] = _compared(title, name, pairs, tolerance)
    return Parity(
        framework=framework,
        rows=sum(_rows(pair) for pair in pairs),
        cases=tuple(pair.case.label for pair in pairs),
        made_up=made_up,
        tolerance=tolerance,
        outputs=outputs,
    )


def _refuse_other_form(title: str, name: str, pair: Answered) -> None:
    expected, got = pair.expected[name], pair.got.get(name)
    if got is None:
        raise RefusedError(f"the ONNX file has no output {name!r}")
    if expected.shape != got.shape:
        raise RefusedError(
            f"output {name!r} at {pair.case.label}: {title} gives shape {list(expected.shape)}, "
            f"the ONNX file {list(got.shape)}",
            advice="A size that belongs to the example was baked into the export; leave it open.",
        )
    if _is_number(expected) != _is_number(got):
        raise RefusedError(f"output {name!r}: {title} gives {expected.dtype}, the ONNX file {got.dtype}")


def _compared(title: str, name: str, pairs: Sequence[Answered], tolerance: float) -> OutputParity:
    expected = [pair.expected[name] for pair in pairs]
    got = [pair.got[name] for pair in pairs]
    if not _is_number(expected[0]):
        return _labels(title, name, pairs)
    scale = max((_largest(array) for array in expected), default=0.0)
    allowed = tolerance * scale
    gaps = [_gap(one, other) for one, other in zip(expected, got, strict=True)]
    worst = max((float(gap.max()) for gap in gaps if gap.size), default=0.0)
    if worst > allowed:
        share = f", {worst / scale:.2%} of its largest value" if scale and math.isfinite(worst) else ""
        lines = [
            f"output {name!r} differs from {title}'s by up to {worst:.3g}{share}; allowed is {allowed:.3g}"
        ]
        raise RefusedError(
            "\n".join([*lines, *_worst_rows(title, name, pairs, gaps)]),
            advice="The conversion changed the model. Nothing was published.",
        )
    agreement = _agreement(expected, got, allowed)
    return OutputParity(up(worst), up(worst / scale) if scale else 0.0, agreement)


def _labels(title: str, name: str, pairs: Sequence[Answered]) -> OutputParity:
    wrong, total = 0, 0
    lines: list[str] = []
    for pair in pairs:
        expected, got = plain(pair.expected[name]), plain(pair.got[name])
        differ = expected != got
        wrong, total = wrong + int(differ.sum()), total + expected.size
        for where in np.argwhere(differ)[: max(0, SHOWN_ROWS - len(lines))]:
            at = tuple(where)
            lines.append(
                f"  {pair.case.label}, row {at[0] if at else 0}: {title} {expected[at]}, ONNX {got[at]}"
            )
    if wrong:
        head = f"output {name!r}: {wrong} of {total} labels are not {title}'s"
        raise RefusedError(
            "\n".join([head, *lines]), advice="The conversion changed the model. Nothing was published."
        )
    return OutputParity(0.0, 0.0, 1.0)


def _worst_rows(title: str, name: str, pairs: Sequence[Answered], gaps: Sequence[Array]) -> list[str]:
    found = []
    for pair, gap in zip(pairs, gaps, strict=True):
        expected, got = pair.expected[name], pair.got[name]
        if not gap.ndim:
            found.append((float(gap), f"  {pair.case.label}: {title} {expected:.6g}, ONNX {got:.6g}"))
            continue
        for row in range(len(gap)) if gap.size else ():
            values = [_first_of(array[row], gap[row]) for array in (expected, got)]
            found.append(
                (
                    float(gap[row].max()),
                    f"  {pair.case.label}, row {row}: {title} {values[0]}, ONNX {values[1]}",
                )
            )
    found.sort(key=lambda pair: -pair[0])
    return [f"{text}, apart {gap:.3g}" for gap, text in found[:SHOWN_ROWS]]


def _first_of(row: Array, gap: Array) -> str:
    """Return the elements of a row around the one that differs most."""
    flat = row.reshape(-1)
    start = max(0, min(int(gap.reshape(-1).argmax()) - 1, flat.size - SHOWN_ELEMENTS))
    cells = [f"{value:.6g}" for value in flat[start : start + SHOWN_ELEMENTS]]
    place = f"{start}…" if flat.size > SHOWN_ELEMENTS else ""
    return f"{place}[{', '.join(cells)}]"


def _agreement(expected: Sequence[Array], got: Sequence[Array], allowed: float) -> float | None:
    """Return the share of rows whose largest element is the same one; None for what is no score.

    Scores have two axes and at least two classes. A row whose first two are closer than the
    tolerance has no winner to agree on, and is left out.
    """
    if any(array.ndim != 2 or array.shape[1] < 2 for array in expected):
        return None
    one, other = np.concatenate(expected), np.concatenate(got)
    order = np.sort(one, axis=1)
    clear = order[:, -1] - order[:, -2] > 2 * allowed
    if not clear.any():
        return None
    return float((one.argmax(axis=1) == other.argmax(axis=1))[clear].mean())


def _gap(expected: Array, got: Array) -> Array:
    one, other = expected.astype(np.float64), got.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.abs(one - other)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))


def _largest(array: Array) -> float:
    finite = np.abs(array[np.isfinite(array)].astype(np.float64))
    return float(finite.max()) if finite.size else 0.0


def up(value: float) -> float:
    """Return the next number of one digit: what a record says must hold, and last digits are noise."""
    if not value:
        return 0.0
    step = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / step) * step:.0e}")


def _rows(pair: Answered) -> int:
    return max((array.shape[0] if array.ndim else 1 for array in pair.case.feeds.values()), default=1)


def _is_number(array: Array) -> bool:
    return bool(array.dtype.kind == "f")


def plain(array: Array) -> Array:
    """Return labels in one form: text as `str`, numbers as they are."""
    if array.dtype.kind not in "OSU":
        return array
    cells = np.empty(array.size, object)
    cells[:] = [cell.decode() if isinstance(cell, bytes) else str(cell) for cell in array.ravel().tolist()]
    return cells.reshape(array.shape)
