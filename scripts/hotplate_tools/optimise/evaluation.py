"""Evaluation rows: the calls on which a variant is compared with the float graph.

Rules kept:

1. Rows are the owner's: `--rows`, `evaluation:` or the golden rows of model.yaml. Made-up rows prove
   nothing about quality, so without any a variant is refused.
2. Rows are what callers send: they pass through the function's own pre- and postprocessing.
3. Where there are enough, ranges are taken from some rows and quality is measured on the others.

An `.npz` holds an array for each input, rows first, and may hold `expected_<output>`: the right classes
as integers or text, or the targets as floats. Golden rows (`.jsonl`) hold the outputs they expect.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import RequestError
from hotplate_tools.convert.rows import EXPECTED, read_arrays, typed
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.arrays import array_of
from hotplate_tools.publish.golden import read_rows, row_feeds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hotplate.protocol.types import MetadataTensor
    from hotplate.runtime.transforms import Transforms

__all__ = ["MIN_SPLIT", "Call", "Evaluation", "read_evaluation", "single_rows"]

type Array = np.ndarray[Any, Any]

# From so many rows on, those that ranges are taken from are not those that are measured. Ours.
MIN_SPLIT = 64
# More rows than this do not change the ranges of activations by much. Ours.
MAX_CALIBRATION = 128
# Rows of one call, where the first dimension is open. Ours.
CHUNK = 16


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        feeds: Arrays by input name of the graph, preprocessed.
        expected: Right answers by output name, as callers see it; of some outputs, or none.
        rows: How many rows it is.
    """

    feeds: Mapping[str, Array]
    expected: Mapping[str, Array]
    rows: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Evaluation rows, ready to be run.

    Attributes:
        title: Name of their file.
        sha256: Its digest.
        calls: Quality is measured on these.
        calibration: Ranges of activations are taken from these.
        are_targets: Whether expected floats are targets, not answers that a model once gave.
    """

    title: str
    sha256: str
    calls: tuple[Call, ...]
    calibration: tuple[Call, ...]
    are_targets: bool

    @property
    def rows(self) -> int:
        """How many rows quality is measured on."""
        return sum(call.rows for call in self.calls)


def read_evaluation(
    file: Path | None,
    inputs: Sequence[MetadataTensor],
    outputs: Sequence[MetadataTensor],
    transforms: Transforms | None,
) -> Evaluation:
    """Return the rows of `file`, by the signature that callers see.

    Raises:
        RefusedError: There are none, or they do not fit the signature.
    """
    if file is None:
        raise RefusedError(
            "a variant is published only if its quality was measured, and there are no rows of yours",
            advice="Give some with --rows FILE, or as `evaluation:` or `golden:` in model.yaml.",
        )
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if file.suffix == ".npz":
        calibration, calls = _from_arrays(file, inputs, outputs)
    elif file.suffix == ".jsonl":
        calibration, calls = _from_lines(file, inputs, outputs)
    else:
        raise RefusedError(f"evaluation rows {file.name}: neither .npz nor .jsonl")
    if not calls:
        raise RefusedError(f"evaluation rows {file.name}: fewer rows than one call of this graph takes")
    return Evaluation(
        file.name,
        sha256,
        tuple(_ready(call, transforms, file) for call in calls),
        tuple(_ready(call, transforms, file) for call in calibration),
        are_targets=file.suffix == ".npz",
    )


def single_rows(evaluation: Evaluation, inputs: Sequence[MetadataTensor]) -> list[Mapping[str, Array]]:
    """Return the feeds of the measured calls, one row each where the first dimension of every input is open.

    Args:
        evaluation: Rows that were read for this signature, and not preprocessed.
        inputs: Of the signature.
    """
    is_open = {spec.name: spec.shape[:1] == (-1,) for spec in inputs}
    found: list[Mapping[str, Array]] = []
    for call in evaluation.calls:
        if call.rows > 1 and all(is_open[name] for name in call.feeds):
            found += [
                {name: array[row : row + 1] for name, array in call.feeds.items()} for row in range(call.rows)
            ]
        else:
            found.append(call.feeds)
    return found


def _split(count: int) -> tuple[Array, Array]:
    """Return which rows calibrate and which are measured: drawn, as files are often sorted by class."""
    if count < MIN_SPLIT:
        return np.arange(count), np.arange(count)
    order = np.random.default_rng(0).permutation(count)
    cut = min(MAX_CALIBRATION, count // 4)
    return np.sort(order[:cut]), np.sort(order[cut:])


def _from_arrays(
    file: Path, inputs: Sequence[MetadataTensor], outputs: Sequence[MetadataTensor]
) -> tuple[list[Call], list[Call]]:
    arrays = read_arrays(file)
    declared = {spec.name: spec for spec in inputs}
    feeds = {name: typed(array, declared[name], file) for name, array in arrays.items() if name in declared}
    names = {f"{EXPECTED}{spec.name}": spec.name for spec in outputs}
    expected = {names[name]: array for name, array in arrays.items() if name in names}
    unknown = sorted(set(arrays) - set(feeds) - {f"{EXPECTED}{name}" for name in expected})
    groups = [spec.one_of or spec.name for spec in inputs]
    given = [declared[name].one_of or name for name in feeds]
    if unknown or sorted(given) != sorted(set(groups)):
        raise RefusedError(
            f"evaluation rows {file.name} hold {', '.join(sorted(arrays))}; wanted are "
            f"{', '.join(declared)} (one of each alternative) and, if known, {', '.join(names)}"
        )
    lengths = {len(array) if array.ndim else 0 for array in (*feeds.values(), *expected.values())}
    if len(lengths) != 1 or 0 in lengths:
        raise RefusedError(f"evaluation rows {file.name}: every array needs the same number of rows")
    calibration, measured = _split(lengths.pop())
    size = max([1, *(declared[name].shape[0] for name in feeds)])
    is_open = all(declared[name].shape[0] == -1 for name in feeds)
    chunk = CHUNK if is_open else size

    def calls(rows: Array) -> list[Call]:
        parts = [rows[start : start + chunk] for start in range(0, len(rows), chunk)]
        return [
            Call(
                {name: array[part] for name, array in feeds.items()},
                {name: array[part] for name, array in expected.items()},
                len(part),
            )
            for part in parts
            if is_open or len(part) == chunk
        ]

    return calls(calibration), calls(measured)


def _from_lines(
    file: Path, inputs: Sequence[MetadataTensor], outputs: Sequence[MetadataTensor]
) -> tuple[list[Call], list[Call]]:
    declared = {spec.name: spec for spec in outputs}
    calls = []
    for number, row in enumerate(read_rows(file)[1], start=1):
        place = f"{file.name} line {number}"
        feeds = row_feeds(row["inputs"], inputs, place)
        if unknown := sorted(set(row["outputs"]) - set(declared)):
            raise RefusedError(f"{place}: the model declares no output {unknown[0]!r}")
        expected = {
            name: array_of(data, declared[name].datatype, f"{place}, output {name!r}")
            for name, data in row["outputs"].items()
        }
        calls.append(Call(feeds, expected, max(len(array) if array.ndim else 1 for array in feeds.values())))
    calibration, measured = _split(len(calls))
    return [calls[index] for index in calibration], [calls[index] for index in measured]


def _ready(call: Call, transforms: Transforms | None, file: Path) -> Call:
    if transforms is None:
        return call
    try:
        return Call(transforms.preprocess(call.feeds), call.expected, call.rows)
    except RequestError as fault:
        raise RefusedError(f"evaluation rows {file.name}: {fault}") from fault
