"""Why a model answered as it did: how much its answer hangs on each part of what it was asked.

The model is asked again with a part replaced, and the score that falls is what the part was worth. That takes
nothing but the model itself, so it works for any: trees, networks, pipelines, Python.

| method | a part is replaced by | needs |
|---|---|---|
| `occlusion` | the number `baseline` | one row |
| `permutation` | what other rows of the request have there, in `repeats` draws by `seed` | two rows or more |

A part is one feature of a row; of rows with two axes or more, such as pictures, a patch of their two longest
axes. There are at most `MAX_PARTS` and `GRID` by `GRID` of them: longer rows are cut into as many pieces.

Rules kept:

1. The same request gives the same answer.
2. How much is asked of the model is known and bounded before it begins (`MAX_RUNS`), and it ends in time.
3. Values are exact in the datatype of the input: a baseline that it cannot hold is refused.

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), section 4.2;
Breiman, "Random Forests" (2001), section 10.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np

from hotplate.errors import (
    DatatypeMismatchError,
    MalformedRequestError,
    ShapeMismatchError,
    StepTimeoutError,
    UnknownOutputError,
    ValueRangeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hotplate.protocol.types import InferenceRequest
    from hotplate.runtime.model import Arrays, Model

    type Array = np.ndarray[Any, Any]
    type Part = tuple[slice, ...]

__all__ = ["GRID", "MAX_PARTS", "MAX_RUNS", "Asked", "Explanation", "explain"]

# Parts of a row without inner axes, and of each of the two axes that patches are cut from. Ours.
MAX_PARTS = 256
GRID = 14
# Rows that the model is asked in all. Ours: 20 rows of a picture.
MAX_RUNS = 4096
# Rows that it is asked at once, where it takes several.
BATCH = 64
# Seconds that asking may take; API Gateway waits 29 for all of a request.
LIMIT_S = 20.0


class Asked(msgspec.Struct, frozen=True):
    """How to explain: of a request's `parameters` those that are about it.

    Attributes:
        method: As in the module's table.
        output: Name of the output that holds the scores; None for the first of floats with a row a row.
        target: Column of it; None for each row's largest.
        baseline: What occludes.
        repeats: Draws of a permutation.
        seed: Of the draws.
    """

    method: Literal["occlusion", "permutation"] = "occlusion"
    output: str | None = None
    target: int | None = None
    baseline: float = 0.0
    repeats: int = 8
    seed: int = 0


class Explanation(NamedTuple):
    """What came of it.

    Attributes:
        output: Name of the output that was explained.
        target: Its column by row, int64 (rows,).
        score: What the model gave there, float32 (rows,).
        attributions: By input, float32 of its shape: how much the score falls without the part; each element
            of a part has the part's.
    """

    output: str
    target: Array
    score: Array
    attributions: dict[str, Array]


def explain(
    model: Model, request: InferenceRequest, *, clock: Callable[[], float] = time.monotonic
) -> Explanation:
    """Return how much the model's answer hangs on each part of the request.

    Raises:
        RequestError: It has no numbers to explain, or more than can be, or asks for what is not there.
        InferenceError: The model failed.
        StepTimeoutError: It took too long.
    """
    asked = read_asked(request.parameters)
    arrays = {tensor.name: tensor.array for tensor in request.inputs}
    explained = _explained(model, arrays)
    rows = len(arrays[explained[0]])
    parts = {name: list(_parts(arrays[name].shape[1:])) for name in explained}
    _refuse_too_much(asked, rows, sum(map(len, parts.values())))
    output = _output(model, asked)
    first = _scores(model, arrays, output, rows)  # (rows, columns)
    target = _targets(first, asked, output)
    scoring = _Scoring(model, arrays, output, target, clock)
    draws = np.random.default_rng(asked.seed)
    score = first[np.arange(rows), target]
    found = {}
    for name in explained:
        attribution = np.zeros(arrays[name].shape, np.float32)
        for part, after in scoring.without(name, parts[name], _replaced(asked, arrays[name], draws)):
            fallen = (score - after).reshape(-1, *[1] * (attribution.ndim - 1))  # (rows, 1, ...)
            attribution[(slice(None), *part)] = fallen
        found[name] = attribution
    return Explanation(output, target, score.astype(np.float32), found)


def read_asked(parameters: Mapping[str, Any]) -> Asked:
    """Return how to explain, as a request's parameters say.

    Raises:
        MalformedRequestError: They do not.
    """
    try:
        asked = msgspec.convert(dict(parameters), Asked)
    except msgspec.ValidationError as fault:
        raise _misread(str(fault)) from fault
    if not 1 <= asked.repeats <= 32 or asked.seed < 0 or not np.isfinite(asked.baseline):
        raise _misread(f"repeats {asked.repeats}, seed {asked.seed}, baseline {asked.baseline}")
    return asked


def _misread(received: str) -> MalformedRequestError:
    expected = (
        "method `occlusion` or `permutation`, output a name, target a column, baseline a number, "
        "repeats 1 to 32, seed 0 or more"
    )
    return MalformedRequestError("parameters", expected=expected, received=received[:200])


def _explained(model: Model, arrays: Arrays) -> list[str]:
    """Return the inputs that are numbers, a row a row.

    Raises:
        DatatypeMismatchError: There is none.
        ShapeMismatchError: They have another number of rows each, or none.
    """
    found = [name for name, array in arrays.items() if array.dtype.kind in "fiu" and array.ndim > 1]
    if not found:
        kinds = ", ".join(f"{spec.name!r} {spec.datatype}" for spec in model.manifest.inputs)
        expected = "an input of numbers with two axes or more"
        raise DatatypeMismatchError("what is to be explained", expected=expected, received=kinds)
    rows = {len(array) for array in arrays.values() if array.ndim}
    if len(rows) != 1 or 0 in rows:
        raise ShapeMismatchError("inputs", expected="as many rows each, and one at least", received=str(rows))
    return found


def _parts(row: Sequence[int]) -> Iterator[Part]:
    """Return the parts of a row of this shape."""
    longest = sorted(range(len(row)), key=lambda axis: -row[axis])[:2]
    most = MAX_PARTS if len(row) == 1 else GRID
    pieces = [
        _pieces(size, most) if axis in longest else [slice(None)] for axis, size in enumerate(row)
    ]  # by axis
    for index in np.ndindex(*map(len, pieces)):
        yield tuple(pieces[axis][at] for axis, at in enumerate(index))


def _pieces(size: int, most: int) -> list[slice]:
    edges = np.linspace(0, size, min(size, most) + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _refuse_too_much(asked: Asked, rows: int, parts: int) -> None:
    permuted = asked.method == "permutation"
    if permuted and rows < 2:
        raise ShapeMismatchError("inputs", expected="two rows or more to draw from", received=f"{rows} rows")
    runs = rows * parts * (asked.repeats if permuted else 1)
    if runs > MAX_RUNS:
        expected = f"rows × parts × repeats of at most {MAX_RUNS}"
        raise ValueRangeError("what is to be explained", expected=expected, received=str(runs))


def _output(model: Model, asked: Asked) -> str:
    able = [spec for spec in model.manifest.outputs if spec.datatype.startswith("FP") and spec.shape]
    names = [spec.name for spec in able if len(spec.shape) <= 2]
    if asked.output is None and names:
        return names[0]
    if asked.output not in names:
        expected = f"an output of scores: {', '.join(map(repr, names)) or 'this model has none'}"
        raise UnknownOutputError("output", expected=expected, received=repr(asked.output)[:80])
    return asked.output


def _scores(model: Model, feeds: Arrays, output: str, rows: int) -> Array:
    """Return the output as float64 (rows, columns)."""
    array = np.asarray(model.predictor.run(feeds, [output])[output], np.float64)
    if not array.ndim or len(array) != rows:
        expected, received = f"an output with {rows} rows", f"{output!r} {list(array.shape)}"
        raise UnknownOutputError("output", expected=expected, received=received)
    return array.reshape(rows, -1)


def _targets(scores: Array, asked: Asked, output: str) -> Array:
    rows, columns = scores.shape
    if asked.target is None:
        return scores.argmax(axis=1)
    if not 0 <= asked.target < columns:
        expected = f"a column of {output!r}, 0 to {columns - 1}"
        raise ValueRangeError("target", expected=expected, received=str(asked.target))
    return np.full(rows, asked.target)


def _replaced(asked: Asked, array: Array, draws: np.random.Generator) -> list[Array]:
    """Return what takes the place of parts: arrays like `array`, each for one draw."""
    if asked.method == "permutation":
        rows = len(array)
        steps = draws.integers(1, rows, (asked.repeats, rows))  # never the row itself
        return [array[(np.arange(rows) + step) % rows] for step in steps]
    whole = np.full(array.shape, asked.baseline)
    with np.errstate(invalid="ignore", over="ignore"):
        fits = whole.astype(array.dtype)
    if array.dtype.kind != "f" and not np.array_equal(fits, whole):
        raise ValueRangeError("baseline", expected=f"a number of {array.dtype}", received=str(asked.baseline))
    return [fits]


class _Scoring:
    """Asks the model again and again."""

    def __init__(
        self, model: Model, arrays: Arrays, output: str, target: Array, clock: Callable[[], float]
    ) -> None:
        self._model, self._arrays, self._output, self._target = model, arrays, output, target
        self._clock = clock
        self._until = clock() + LIMIT_S
        takes_many = all(spec.shape[:1] == (-1,) for spec in model.manifest.inputs if spec.name in arrays)
        self._at_once = BATCH if takes_many else len(target)

    def without(
        self, name: str, parts: Sequence[Part], draws: Sequence[Array]
    ) -> Iterator[tuple[Part, Array]]:
        """Return for each part the scores without it, float64 (rows,), the mean of all draws."""
        rows = len(self._target)
        together = max(1, self._at_once // rows)  # parts, all of whose rows are asked at once
        for start in range(0, len(parts), together):
            some = parts[start : start + together]
            after = np.mean([self._asked(name, some, draw) for draw in draws], axis=0)  # (parts, rows)
            yield from zip(some, after, strict=True)

    def _asked(self, name: str, parts: Sequence[Part], draw: Array) -> Array:
        if self._clock() > self._until:
            raise StepTimeoutError(f"explaining took more than {LIMIT_S:g} s: send fewer rows")
        rows, count = len(self._target), len(parts)
        feeds = {
            each: np.concatenate([array] * count) if array.ndim else array
            for each, array in self._arrays.items()
        }
        for index, part in enumerate(parts):
            feeds[name][(slice(index * rows, (index + 1) * rows), *part)] = draw[(slice(None), *part)]
        scores = _scores(self._model, feeds, self._output, rows * count)
        chosen: Array = scores[np.arange(rows * count), np.tile(self._target, count)]
        return chosen.reshape(count, rows)
