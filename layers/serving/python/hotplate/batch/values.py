"""Values in JSON, of one row each, as arrays: of JSON Lines, and of CSV columns that hold arrays.

The types are strict, as a request's elements are: see `features`. Arrays are nested as the shape says.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from hotplate.batch.features import fit, range_words
from hotplate.protocol.json_codec import objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.batch.features import Array, Feature

__all__ = ["arrays_of", "type_of"]

# The largest number that msgspec can check by itself.
_INT64_MAX = 2**63 - 1


def type_of(feature: Feature) -> Any:
    """Return the type of one row's value, for msgspec."""
    kind = feature.datatype.dtype.kind
    element: Any = {"f": float, "b": bool, "O": str}.get(kind, int)
    if kind in "iu":
        limits = np.iinfo(feature.datatype.dtype)
        element = Annotated[int, msgspec.Meta(ge=int(limits.min), le=min(int(limits.max), _INT64_MAX))]
        if limits.max > _INT64_MAX:
            element = Annotated[int, msgspec.Meta(ge=0)]
    kind_of_row: Any = element
    for size in reversed(feature.inner):
        bounds = msgspec.Meta() if size < 0 else msgspec.Meta(min_length=size, max_length=size)
        kind_of_row = Annotated[list.__class_getitem__(kind_of_row), bounds]
    # One number is as good as a list of it.
    return element | kind_of_row if feature.inner == (1,) else kind_of_row


def arrays_of(values: list[Any], feature: Feature) -> tuple[Array | Sequence[Array], dict[int, str]]:
    """Return rows' values as arrays.

    Args:
        values: Of `type_of(feature)`, one a row.
        feature: What they are.

    Returns:
        [N, *inner], or N arrays where `inner` is open; and for each row that is unfit, why.
    """
    if feature.size is None:
        return _uneven(values, feature)
    if feature.inner == (1,):
        values = [value[0] if isinstance(value, list) else value for value in values]
    flat = values
    for _ in feature.inner if feature.inner != (1,) else ():
        flat = list(chain.from_iterable(flat))
    shape = (len(values), *feature.inner)
    if feature.is_text:
        return objects([text.encode() for text in flat], shape), {}
    return _numbers(flat, shape, feature)


def _numbers(flat: list[Any], shape: tuple[int, ...], feature: Feature) -> tuple[Array, dict[int, str]]:
    kind = feature.datatype.dtype.kind
    wide: Any = {"f": np.float64, "b": np.bool_, "u": np.uint64}.get(kind, np.int64)
    try:
        array = np.fromiter(flat, wide, len(flat)).reshape(shape)
    except OverflowError:  # whole numbers beyond 64 bits, which only UINT64's type lets through
        is_out = np.fromiter((value > np.iinfo(np.uint64).max for value in flat), np.bool_, len(flat))
        clipped = [0 if out else value for value, out in zip(flat, is_out, strict=True)]
        rows = np.flatnonzero(is_out.reshape(len(shape) and shape[0], -1).any(axis=1))
        array = np.fromiter(clipped, wide, len(flat)).reshape(shape)
        return array, {int(row): _out_of_range(feature) for row in rows}
    narrow, misfits = fit(array, feature.datatype)
    if misfits is None:
        return narrow, {}
    return narrow, {int(row): _out_of_range(feature) for row in np.flatnonzero(misfits)}


def _uneven(values: list[Any], feature: Feature) -> tuple[list[Array], dict[int, str]]:
    arrays: list[Array] = []
    errors: dict[int, str] = {}
    for row, value in enumerate(values):
        flat, shape = _flattened(value, len(feature.inner))
        if flat is None:
            errors[row] = "expected arrays of one length inside each other, got several"
            flat, shape = [], (0,) * len(feature.inner)
        if feature.is_text:
            arrays.append(objects([text.encode() for text in flat], shape))
            continue
        array, why = _numbers(flat, (1, *shape), feature)
        arrays.append(array[0])
        if why:
            errors[row] = why[0]
    return arrays, errors


def _flattened(value: Any, rank: int) -> tuple[list[Any] | None, tuple[int, ...]]:
    """Return the elements of nested lists, and their shape; None where they are not of one."""
    level, shape = [value], []
    for _ in range(rank):
        sizes = {len(each) for each in level}
        if len(sizes) > 1:
            return None, ()
        shape.append(sizes.pop() if sizes else 0)
        level = list(chain.from_iterable(level))
    return level, tuple(shape)


def _out_of_range(feature: Feature) -> str:
    return f"expected {range_words(feature.datatype)}, got another"
