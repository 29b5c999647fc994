"""Golden rows: inputs with the answers that a version must give, replayed before it is published.

A line of `golden.jsonl` is `{"inputs": {name: data}, "outputs": {name: data}}` with nested lists of
JSON numbers, booleans or strings. An element of a BYTES tensor is a string (its UTF-8 bytes) or
`{"b64": "..."}`.

Rows are replayed by what serves: the same `Session`, between the function's own pre- and
postprocessing. Where a bare graph comes without rows, some are made: inputs by a seeded generator,
answers by the graph. Those prove nothing about the training; they pin what was published, so that
another machine, runtime or conversion that answers otherwise is found out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from hotplate.errors import InferenceError, RequestError
from hotplate.protocol.datatypes import from_name
from hotplate.protocol.types import alternatives
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.arrays import array_of, difference, jsonable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hotplate.manifest.schema import Golden
    from hotplate.protocol.types import MetadataTensor
    from hotplate.runtime.session import Session
    from hotplate.runtime.transforms import Transforms

__all__ = [
    "GENERATED_SIZES",
    "MAX_GOLDEN_BYTES",
    "farthest",
    "generate",
    "is_stable",
    "line_of",
    "read_rows",
    "refuse_difference",
    "replay",
    "row_feeds",
    "seeded_feeds",
]

type Array = np.ndarray[Any, Any]

# Ours. Rows are evidence, not a test set; a few hundred pictures fit.
MAX_GOLDEN_BYTES = 16 * 1024 * 1024

# Sizes that open dimensions take, one generated row each: one, and more than one.
GENERATED_SIZES = (1, 2, 3)

# Generated rows stop before the file grows past this, in bytes.
MAX_GENERATED_BYTES = 1024 * 1024


def read_rows(file: Path) -> tuple[bytes, list[dict[str, dict[str, Any]]]]:
    """Return the bytes of a golden file and its rows.

    Raises:
        RefusedError: Too long, empty, or a line that is no row.
    """
    with file.open("rb") as stream:
        raw = stream.read(MAX_GOLDEN_BYTES + 1)
    if len(raw) > MAX_GOLDEN_BYTES:
        raise RefusedError(f"{file.name} is longer than {MAX_GOLDEN_BYTES} bytes")
    rows = []
    for number, line in enumerate(raw.splitlines(), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as fault:
            raise RefusedError(f"{file.name} line {number} is not JSON: {fault}") from fault
        parts = [row.get("inputs"), row.get("outputs")] if isinstance(row, dict) else []
        if len(parts) != 2 or len(row) != 2 or not all(isinstance(part, dict) and part for part in parts):
            raise RefusedError(f'{file.name} line {number} is no {{"inputs": {{...}}, "outputs": {{...}}}}')
        rows.append(row)
    if not rows:
        raise RefusedError(f"{file.name} holds no row")
    return raw, rows


def replay(
    rows: Sequence[Mapping[str, Mapping[str, Any]]],
    *,
    inputs: Sequence[MetadataTensor],
    outputs: Sequence[MetadataTensor],
    session: Session,
    transforms: Transforms | None,
    bounds: Golden,
) -> None:
    """Check that the model answers every row as the row says, in the shapes and datatypes declared.

    Raises:
        RefusedError: Naming the first row, output and element that differ, and by how much.
    """
    for place, got, wanted in _answered(rows, inputs, outputs, session, transforms):
        _refuse_far(got, wanted, bounds, place)


def farthest(
    rows: Sequence[Mapping[str, Mapping[str, Any]]],
    *,
    inputs: Sequence[MetadataTensor],
    outputs: Sequence[MetadataTensor],
    session: Session,
    transforms: Transforms | None,
) -> float:
    """Return the largest absolute difference of any float from what the rows say.

    Raises:
        RefusedError: As `replay`, but for how far an answer is.
    """
    largest = 0.0
    for _, got, wanted in _answered(rows, inputs, outputs, session, transforms):
        if got.dtype.kind == "f" and got.shape == wanted.shape and got.size:
            gap = np.abs(got.astype(np.float64) - wanted)
            largest = max(largest, float(np.where(np.isfinite(gap), gap, 0.0).max()))
    return largest


def _answered(
    rows: Sequence[Mapping[str, Mapping[str, Any]]],
    inputs: Sequence[MetadataTensor],
    outputs: Sequence[MetadataTensor],
    session: Session,
    transforms: Transforms | None,
) -> Iterator[tuple[str, Array, Array]]:
    """Yield the place, the answer and the expected one of every output that a row names."""
    for number, row in enumerate(rows, start=1):
        place = f"golden row {number}"
        feeds = row_feeds(row["inputs"], inputs, place)
        try:
            results = transforms.apply(feeds, session.run_all) if transforms else session.run_all(feeds)
        except (RequestError, InferenceError) as fault:
            raise RefusedError(f"{place}: {fault}") from fault
        yield from _compared(row["outputs"], results, outputs, place)


def refuse_difference(
    golden: Mapping[str, Any],
    results: Mapping[str, Any],
    outputs: Sequence[MetadataTensor],
    bounds: Golden,
    place: str,
) -> None:
    """Compare a model's answer with the outputs of a golden row.

    Raises:
        RefusedError: An output is not as declared, or not as the row says.
    """
    for where, got, wanted in _compared(golden, results, outputs, place):
        _refuse_far(got, wanted, bounds, where)


def _compared(
    golden: Mapping[str, Any], results: Mapping[str, Any], outputs: Sequence[MetadataTensor], place: str
) -> Iterator[tuple[str, Array, Array]]:
    declared = {spec.name: spec for spec in outputs}
    _refuse_undeclared(results, outputs, place)
    for name, expected in golden.items():
        if name not in declared:
            raise RefusedError(f"{place}: the model declares no output {name!r}")
        where = f"{place}, output {name!r}"
        wanted = array_of(expected, declared[name].datatype, where)
        got = np.asarray(results[name])
        if wanted.shape == (0,) and not got.size:
            wanted = wanted.reshape(got.shape)  # an empty list has no more axes than one
        yield where, got, wanted


def _refuse_far(got: Array, wanted: Array, bounds: Golden, place: str) -> None:
    found = difference(got, wanted, rtol=bounds.rtol, atol=bounds.atol)
    if found:
        raise RefusedError(
            f"{place}: {found}",
            advice="The export, the pre- or postprocessing or the rows changed; find out which.",
        )


def generate(inputs: Sequence[MetadataTensor], session: Session) -> tuple[bytes, int]:
    """Return golden rows for a graph as canonical JSON lines, and their count (0: it has no stable answer).

    A graph that draws random numbers, refuses made-up inputs or answers NaN has no row to pin.
    """
    lines: list[bytes] = []
    for size in GENERATED_SIZES:
        feeds = seeded_feeds(inputs, size)
        try:
            answers = [session.run(feeds, session.output_names) for _ in range(2)]
        except InferenceError:
            continue
        if not all(is_stable(answers[0][name], answers[1][name]) for name in session.output_names):
            continue
        lines.append(line_of(feeds, answers[0]))
        if sum(map(len, lines)) > MAX_GENERATED_BYTES:
            return b"".join(lines[:-1]), len(lines) - 1
    return b"".join(lines), len(lines)


def seeded_feeds(inputs: Sequence[MetadataTensor], size: int) -> dict[str, Array]:
    """Return made-up feeds, the same for the same `size`, which is what every open dimension takes."""
    generator = np.random.default_rng(size)
    return {spec.name: _made_up(spec, size, generator) for spec in inputs}


def is_stable(first: Any, second: Any) -> bool:
    """Return whether two answers are equal and every number in them is finite."""
    one, other = np.asarray(first), np.asarray(second)
    if one.dtype.kind == "f" and not np.isfinite(one).all():
        return False
    return bool(np.array_equal(one, other))


def line_of(feeds: Mapping[str, Array], answers: Mapping[str, Array]) -> bytes:
    """Return one golden row as a canonical JSON line."""
    row = {"inputs": _as_json(feeds), "outputs": _as_json(answers)}
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS) + b"\n"


def row_feeds(data: Mapping[str, Any], inputs: Sequence[MetadataTensor], place: str) -> dict[str, Array]:
    """Return the inputs of a golden row as arrays, as a request would bring them.

    Raises:
        RefusedError: They are not what is declared.
    """
    declared = {spec.name: spec for spec in inputs}
    for name in data:
        if name not in declared:
            raise RefusedError(f"{place}: the model declares no input {name!r}")
    _refuse_incomplete(set(data), inputs, place)
    feeds = {}
    for name, value in data.items():
        spec = declared[name]
        feeds[name] = array = array_of(value, spec.datatype, f"{place}, input {name!r}")
        _refuse_shape(array, spec, f"{place}, input {name!r}")
    return feeds


def _refuse_incomplete(sent: set[str], inputs: Sequence[MetadataTensor], place: str) -> None:
    needed = [spec for spec in inputs if spec.one_of is None and not spec.optional]
    for word, forms in alternatives(inputs).items():
        came = [form for form in forms.values() if any(spec.name in sent for spec in form)]
        if len(came) != 1:
            raise RefusedError(f"{place}: {word} is there {len(came)} times, not once")
        needed += came[0]
    for spec in needed:
        if spec.name not in sent:
            raise RefusedError(f"{place}: input {spec.name!r} is there 0 times, not once")


def _refuse_undeclared(results: Mapping[str, Any], outputs: Sequence[MetadataTensor], place: str) -> None:
    for spec in outputs:
        if spec.name not in results:
            raise RefusedError(f"{place}: output {spec.name!r} is declared, but did not come")
        array, where = np.asarray(results[spec.name]), f"{place}, output {spec.name!r}"
        if array.dtype != from_name(spec.datatype).dtype:
            raise RefusedError(f"{where}: dtype {array.dtype}, declared {spec.datatype}")
        _refuse_shape(array, spec, where)


def _refuse_shape(array: Array, spec: MetadataTensor, where: str) -> None:
    fits = len(array.shape) == len(spec.shape) and all(
        declared in (-1, size) for declared, size in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        raise RefusedError(f"{where}: shape {list(array.shape)}, declared {list(spec.shape)}")


def _made_up(spec: MetadataTensor, size: int, generator: np.random.Generator) -> Array:
    shape = tuple(size if axis < 0 else axis for axis in spec.shape)
    if spec.datatype == "BYTES":
        words = np.empty(shape, object)
        words[...] = b"hotplate"
        return words
    if spec.datatype in {"FP16", "FP32", "FP64"}:
        # Inside 0..1, where logarithms, roots and pictures are at home; few digits keep rows short.
        return generator.random(shape).round(3).astype(from_name(spec.datatype).dtype)
    # 0 and 1 are indices into every table that has two entries, and they are booleans.
    return generator.integers(0, 2, shape).astype(from_name(spec.datatype).dtype)


def _as_json(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: jsonable(np.asarray(array)) for name, array in arrays.items()}
