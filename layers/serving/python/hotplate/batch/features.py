"""A model's inputs as a file's rows give them: what one row of each holds, and numbers put into its datatype.

Rules kept here, which are those of a JSON request:

1. A whole number goes into any datatype that holds it, another number only into a float; true and false only
   into BOOL; text only into BYTES.
2. A finite number that the datatype cannot hold is refused, not made infinite. NaN and infinity, where a
   format has them, are numbers: whether they are fit is the model's to say.

Axes: N rows; `inner` is the shape of one row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import UnfitFileError
from hotplate.protocol.datatypes import from_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.batch.layout import Layout
    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.datatypes import Datatype
    from hotplate.protocol.types import MetadataTensor

    Array = np.ndarray[Any, Any]

__all__ = ["Feature", "features_of", "fit", "is_fit_kind", "range_words"]

# By kind of NumPy's dtypes, the kinds that go into it.
_TAKES = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}


@dataclass(frozen=True, slots=True)
class Feature:
    """One input, and where a row has it.

    Attributes:
        name: The input's.
        datatype: Of the protocol.
        inner: Shape of one row; -1 is open.
        columns: Places in the file, or in a layout's `columns`.
        whole: Whether one column holds all of it.
    """

    name: str
    datatype: Datatype
    inner: tuple[int, ...]
    columns: tuple[int, ...]
    whole: bool

    @property
    def size(self) -> int | None:
        """Elements of a row; None if that is open."""
        return None if -1 in self.inner else math.prod(self.inner)

    @property
    def is_single(self) -> bool:
        """Whether a row is one element."""
        return self.size == 1

    @property
    def is_text(self) -> bool:
        """Whether its elements are BYTES."""
        return self.datatype.item_bytes is None


def features_of(layout: Layout, manifest: Manifest) -> list[Feature]:
    """Return the inputs that a file has.

    Raises:
        UnfitFileError: The layout is of another version's signature.
    """
    declared = {spec.name: spec for spec in manifest.inputs}
    found = []
    for binding in layout.bindings:
        spec = declared.get(binding.input)
        if spec is None:
            raise UnfitFileError(
                f"{manifest.name} has no input {binding.input!r}, the file's layout names one"
            )
        found.append(
            Feature(spec.name, from_name(spec.datatype), inner_of(spec), binding.columns, binding.whole)
        )
    return found


def inner_of(spec: MetadataTensor) -> tuple[int, ...]:
    """Return the shape of one row.

    Raises:
        UnfitFileError: The tensor's first axis is not open, so rows cannot be put together.
    """
    if not spec.shape or spec.shape[0] != -1:
        raise UnfitFileError(
            f"{spec.name!r} is {list(spec.shape)}: its first axis is not open, so rows cannot be put together"
        )
    return spec.shape[1:]


def is_fit_kind(dtype: np.dtype[Any], datatype: Datatype) -> bool:
    """Return whether numbers of a dtype go into a datatype at all; rule 1."""
    return dtype.kind in _TAKES.get(datatype.dtype.kind, "")


def fit(values: Array, datatype: Datatype) -> tuple[Array, Array | None]:
    """Return numbers in a datatype's dtype, and which rows it cannot hold.

    Args:
        values: [N, ...] of a fit kind.
        datatype: Any but BYTES.

    Returns:
        The array, C-contiguous, and bool [N], or None where all are held.
    """
    if values.dtype == datatype.dtype:
        return np.ascontiguousarray(values), None
    if datatype.dtype.kind == "f":
        # As JSON's numbers come: through float64.
        wide = values if values.dtype.kind == "f" else values.astype(np.float64)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            narrow = np.ascontiguousarray(wide.astype(datatype.dtype))
        if np.isfinite(narrow).all():
            return narrow, None
        return narrow, _any_in_row(np.isfinite(wide) & ~np.isfinite(narrow))
    limits = np.iinfo(datatype.dtype)
    is_out = (values < limits.min) | (values > limits.max)
    return np.ascontiguousarray(values.astype(datatype.dtype)), _any_in_row(is_out)


def range_words(datatype: Datatype) -> str:
    """Return which numbers a datatype holds, for errors."""
    limits = np.finfo(datatype.dtype) if datatype.dtype.kind == "f" else np.iinfo(datatype.dtype)
    return f"numbers from {limits.min} to {limits.max} for {datatype.name}"


def element_names(name: str, inner: Sequence[int]) -> list[str]:
    """Return what the columns of one tensor's elements are called; its own name if there is one element."""
    size = math.prod(inner)
    return [name] if size == 1 else [f"{name}[{number}]" for number in range(size)]


def _any_in_row(where: Array) -> Array | None:
    if not where.any():
        return None
    return where.reshape(len(where), -1).any(axis=1)
