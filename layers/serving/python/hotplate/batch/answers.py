"""Outputs as columns: what a file of predictions has beside the columns that are kept.

Rules kept here:

1. An output with one element a row is one column of its name. One of at most `MAX_COLUMNS` elements is as
   many, `name[0]`, `name[1]`, ... in row-major order. A larger one, or one of open
   size, is one column of lists.
2. In JSON Lines each output is one member, nested as its shape says.
3. What a format cannot hold fails the row, as it fails a request: NaN and infinity in JSON, bytes that
   are not UTF-8 in any text.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.batch.features import element_names
from hotplate.protocol.datatypes import from_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.batch.layout import Format, Layout
    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.types import MetadataTensor

    Array = np.ndarray[Any, Any]

__all__ = ["MAX_COLUMNS", "column_names", "distinct", "is_spread", "specs_of", "unheld"]

# Elements of an output that become columns of their own. Ours: the scores of some classes, not an embedding.
MAX_COLUMNS = 64
# Objects that are told apart one by one. Ours: so many comparisons take what a table of hashes does.
_FEW = 32


def specs_of(layout: Layout, manifest: Manifest) -> list[MetadataTensor]:
    """Return the outputs that are wanted, in the manifest's order."""
    return [spec for spec in manifest.outputs if spec.name in layout.outputs]


def is_spread(spec: MetadataTensor) -> bool:
    """Return whether an output is a column for each of its elements."""
    inner = spec.shape[1:]
    return -1 not in inner and 1 <= math.prod(inner) <= MAX_COLUMNS


def column_names(layout: Layout, manifest: Manifest) -> list[str]:
    """Return the names of the columns of the predictions, in their order."""
    names = ["row"] if layout.options.row_numbers else []
    names += [layout.columns[place] for place in layout.keep]
    for spec in specs_of(layout, manifest):
        names += element_names(spec.name, spec.shape[1:]) if is_spread(spec) else [spec.name]
    return names


def distinct(texts: Array) -> tuple[list[bytes], Array] | None:
    """Return the different objects of an object array, and int32 [N], which of them each element is.

    Told by where they lie, not by what is in them: most outputs of text are a few objects many times, and
    equal ones that lie apart may be there twice. None if there are many.
    """
    flat = np.ascontiguousarray(texts).reshape(-1)
    addresses = np.frombuffer(flat, np.intp)
    places = np.full(len(flat), -1, np.int32)
    found: list[bytes] = []
    while len(flat):
        at = int(places.argmin())
        if places[at] >= 0:
            return found, places
        if len(found) == _FEW:
            break
        places[addresses == addresses[at]] = len(found)
        found.append(flat[at])
    return None


def unheld(
    outputs: Mapping[str, Array], specs: Sequence[MetadataTensor], kind: Format
) -> dict[int, tuple[str, str]]:
    """Return for each row that a format cannot hold, at which output and why."""
    found: dict[int, tuple[str, str]] = {}
    for spec in specs:
        array = outputs[spec.name]
        rows = len(array)
        if from_name(spec.datatype).item_bytes is None:
            if kind in ("csv", "jsonl", "parquet"):
                for row in _not_text(array):
                    found.setdefault(row, (spec.name, "the answer is not text in UTF-8"))
        elif kind == "jsonl" and array.dtype.kind == "f" and not (held := np.isfinite(array)).all():
            for row in np.flatnonzero(~held.reshape(rows, -1).all(axis=1)).tolist():
                found.setdefault(
                    row, (spec.name, "expected finite numbers in JSON, the answer is NaN or infinity")
                )
    return found


def _not_text(array: Array) -> list[int]:
    few = distinct(array)
    elements = set(array.ravel().tolist()) if few is None else few[0]
    wrong = {element for element in elements if not _is_text(element)}
    if not wrong:
        return []
    rows = array.reshape(len(array), -1).tolist()
    return [row for row, elements in enumerate(rows) if wrong.intersection(elements)]


def _is_text(element: bytes) -> bool:
    try:
        element.decode()
    except UnicodeDecodeError:
        return False
    return True
