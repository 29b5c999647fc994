"""The inputs on which a framework and its ONNX file are compared.

The user's own evaluation rows where there are any, else rows made up from the signature by a seeded
generator. Either way they are asked at several batch sizes and, where another dimension is open, at
several lengths: an export that has its example's sizes baked in answers those and no other.

Rows come as `.npz` (an array an input, rows first; no pickles) or as golden rows. Their answers
(`expected_<output>` in an `.npz`) are not looked at here, but by `optimise.evaluation`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.protocol.datatypes import from_name
from hotplate_tools.convert.archives import archive_names
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish import golden
from hotplate_tools.publish.arrays import array_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hotplate.protocol.types import MetadataTensor

__all__ = [
    "BATCHES",
    "EXPECTED",
    "LENGTHS",
    "MAX_ROWS",
    "Case",
    "made_up_cases",
    "read_arrays",
    "read_rows",
    "row_cases",
    "typed",
]

type Array = np.ndarray[Any, Any]

# Ours: one, a few, and a full vector register of float32; no power of two between one and eight.
BATCHES = (1, 3, 8)

# Ours: none is a size that examples are usually exported with (1, 2, 8, 10, 16, 128, 224, 512).
# The largest is for pictures: a few poolings leave nothing of a small one.
LENGTHS = (5, 12, 33, 65)

# More rows than this of the user's are not asked; evidence, not a benchmark.
MAX_ROWS = 256

# Before an output's name, in an .npz: the answers that are right.
EXPECTED = "expected_"

_WORDS = ("the", "hotplate", "is", "Hot", "naïve", "CAFÉ", "42", "don't", "straße", "ok", "no", "again")


@dataclass(frozen=True, slots=True)
class Case:
    """One call: arrays by input name, and its sizes in words."""

    label: str
    feeds: Mapping[str, Array]


def made_up_cases(inputs: Sequence[MetadataTensor], *, seed: int = 0) -> list[Case]:
    """Return calls made up from the signature; the same seed gives the same ones.

    FP* elements are standard normal in every second row and uniform in 0..1 in the others; integers
    are 0 or 1, which every table that is looked up has; BYTES are short texts with capitals, accents,
    digits and punctuation.
    """
    generator = np.random.default_rng(seed)
    cases = []
    for label, batch, length in _sizes(inputs):
        feeds = {spec.name: _made_up(spec, _shape(spec, batch, length), generator) for spec in inputs}
        cases.append(Case(label, feeds))
    return cases


def row_cases(inputs: Sequence[MetadataTensor], rows: Mapping[str, Array]) -> list[Case]:
    """Return calls of the user's rows: all of them, then cut or repeated to every size.

    Args:
        inputs: The graph's.
        rows: By input name; the first axis of each is the same number of rows.
    """
    count = min(MAX_ROWS, len(next(iter(rows.values()))))
    cases = [Case(f"{count} rows", {name: array[:count] for name, array in rows.items()})]
    for label, batch, length in _sizes(inputs):
        feeds = {}
        for spec in inputs:
            array = rows[spec.name]
            shape = _shape(spec, batch, length)
            for axis, size in enumerate(shape):
                array = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
            feeds[spec.name] = array
        cases.append(Case(label, feeds))
    return cases


def read_rows(file: Path, inputs: Sequence[MetadataTensor]) -> dict[str, Array]:
    """Return evaluation rows as arrays of the graph's datatypes, rows along the first axis.

    Raises:
        RefusedError: Not such a file, or its arrays are not the graph's inputs.
    """
    if file.suffix == ".npz":
        rows = read_arrays(file)
    elif file.suffix == ".jsonl":
        rows = _read_golden(file, inputs)
    else:
        raise RefusedError(f"evaluation rows {file.name}: neither .npz nor .jsonl")
    wanted = {spec.name for spec in inputs}
    rows = {name: array for name, array in rows.items() if name in wanted or not name.startswith(EXPECTED)}
    if set(rows) != wanted:
        raise RefusedError(
            f"evaluation rows {file.name} hold {', '.join(sorted(rows))}; the graph's inputs are "
            f"{', '.join(sorted(wanted))}"
        )
    found = {spec.name: typed(rows[spec.name], spec, file) for spec in inputs}
    if len({len(array) for array in found.values()}) != 1 or not len(next(iter(found.values()))):
        raise RefusedError(
            f"evaluation rows {file.name}: every input needs the same number of rows, at least one"
        )
    return found


def _sizes(inputs: Sequence[MetadataTensor]) -> Iterator[tuple[str, int, int]]:
    """Yield (label, batch, length): every batch size at one length, then every length at one batch size."""
    batched = any(spec.shape and spec.shape[0] == -1 for spec in inputs)
    open_length = any(-1 in spec.shape[1:] for spec in inputs)
    batches = BATCHES if batched else (1,)
    for batch in batches:
        label = f"batch {batch}" if batched else "the fixed size"
        yield (f"{label}, length {LENGTHS[1]}" if open_length else label), batch, LENGTHS[1]
    for length in LENGTHS if open_length else ():
        if length != LENGTHS[1]:
            yield f"batch {batches[-1] if not batched else BATCHES[1]}, length {length}", BATCHES[1], length


def _shape(spec: MetadataTensor, batch: int, length: int) -> tuple[int, ...]:
    return tuple(
        size if size >= 0 else (batch if axis == 0 else length) for axis, size in enumerate(spec.shape)
    )


def _made_up(spec: MetadataTensor, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    if spec.datatype == "BYTES":
        texts = np.empty(int(np.prod(shape)), object)
        texts[:] = [" ".join(generator.choice(_WORDS, 5)).encode() for _ in range(texts.size)]
        return texts.reshape(shape)
    dtype = from_name(spec.datatype).dtype
    if dtype.kind != "f":
        return generator.integers(0, 2, shape).astype(dtype)
    values = generator.standard_normal(shape)
    if values.ndim:
        values[1::2] = generator.random(values[1::2].shape)
    # Few digits keep the golden rows short, and are the same number in float32 and float64 text.
    return values.round(3).astype(dtype)


def read_arrays(file: Path) -> dict[str, Array]:
    """Return the arrays of an `.npz`.

    Raises:
        RefusedError: Not such a file, or it holds pickles.
    """
    archive_names(file)
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError) as fault:
        raise RefusedError(f"evaluation rows {file.name} cannot be read: {fault}") from fault


def _read_golden(file: Path, inputs: Sequence[MetadataTensor]) -> dict[str, Array]:
    declared = {spec.name: spec for spec in inputs}
    parts: dict[str, list[Array]] = {}
    for number, row in enumerate(golden.read_rows(file)[1], start=1):
        for name, data in row["inputs"].items():
            if name not in declared:
                raise RefusedError(f"{file.name} line {number}: the graph has no input {name!r}")
            place = f"{file.name} line {number}, input {name!r}"
            parts.setdefault(name, []).append(array_of(data, declared[name].datatype, place))
    try:
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}
    except ValueError as fault:
        raise RefusedError(
            f"{file.name}: its rows have different shapes: {fault}",
            advice="Evaluation rows of one shape are asked at several lengths by themselves.",
        ) from fault


def typed(array: Array, spec: MetadataTensor, file: Path) -> Array:
    """Return rows in the datatype of the input they are for.

    Raises:
        RefusedError: Another shape, or elements that the datatype does not hold.
    """
    fits = len(array.shape) == len(spec.shape) and all(
        size in (-1, found) for size, found in zip(spec.shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        raise RefusedError(
            f"evaluation rows {file.name}: {spec.name!r} is {list(array.shape)}, "
            f"the graph takes {list(spec.shape)}"
        )
    if spec.datatype == "BYTES":
        texts = np.empty(array.size, object)
        texts[:] = [
            cell if isinstance(cell, bytes) else str(cell).encode() for cell in array.ravel().tolist()
        ]
        return texts.reshape(array.shape)
    wanted = from_name(spec.datatype).dtype
    if not (
        array.dtype == wanted
        or (array.dtype.kind in "fiu" and wanted.kind == "f")
        or (array.dtype.kind in "iu" and wanted.kind in "iu")
    ):
        raise RefusedError(
            f"evaluation rows {file.name}: {spec.name!r} is {array.dtype}, not {spec.datatype}"
        )
    return array.astype(wanted)
