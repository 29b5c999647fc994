"""Rows sent as JSON objects: columns by name, for functions whose callers know names and not an order.

Rules kept here:

1. A record names exactly the model's columns: one that is missing, unknown or no number is refused
   by its name.
2. Only finite numbers go on; what a model says for others would be invented.

NumPy only, as in `hotplate.runtime.transforms`: trainers read records too. Axes: N records, C columns.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import MalformedRequestError, ValueRangeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, Any]

__all__ = ["read_records", "refuse_unfinite"]

# Above it float32, in which graphs compute, has no number soon; a measurement never is.
LIMIT = 1e30

_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


def read_records(records: Array, columns: Sequence[str], *, tensor: str = "record") -> Array:
    """Return the numbers of JSON objects, float64 [N, C], in the order of `columns`.

    Args:
        records: object [N] of bytes, each a JSON object of one number a column.
        columns: The names that each must have, and no others.
        tensor: Name of the input, for the errors.

    Raises:
        MalformedRequestError: No JSON object, other names than `columns`, or a value that is no number.
        ValueRangeError: A number that float64 cannot hold.
    """
    rows = np.empty((len(records), len(columns)))  # (N, C)
    for row, raw in enumerate(records):
        record = _read(raw, columns, f"{tensor}[{row}]")
        for column, name in enumerate(columns):
            rows[row, column] = _number(record[name], f"{tensor}[{row}].{name}")
    return rows


def refuse_unfinite(rows: Array, columns: Sequence[str]) -> None:
    """Raise if an element of `rows` [N, C] is NaN or not between -1e30 and 1e30.

    Raises:
        ValueRangeError: Naming the first one's column and row.
    """
    # NaN is least and greatest of what it is among, and fails both comparisons. Nothing is copied for these.
    if rows.size and float(rows.min()) > -LIMIT and float(rows.max()) < LIMIT:
        return
    right = np.abs(rows) < np.float64(LIMIT)
    if not right.all():
        row, column = divmod(int(right.argmin()), len(columns))
        raise ValueRangeError(
            f"{columns[column]} of row {row}", expected="a finite number", received=str(rows[row, column])
        )


def _read(raw: bytes, columns: Sequence[str], place: str) -> dict[str, Any]:
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as fault:
        raise MalformedRequestError(place, expected="a JSON object", received="no JSON") from fault
    wanted = f"an object of {', '.join(columns)}"
    if not isinstance(record, dict):
        raise MalformedRequestError(place, expected=wanted, received=_kind(record))
    missing = [name for name in columns if name not in record]
    if missing:
        raise MalformedRequestError(place, expected=wanted, received=f"one without {', '.join(missing)}")
    if len(record) > len(columns):
        raise MalformedRequestError(
            place, expected=wanted, received=f"{len(record) - len(columns)} names more"
        )
    return record


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedRequestError(place, expected="a number", received=_kind(value))
    try:
        return float(value)
    except OverflowError as fault:
        raise ValueRangeError(place, expected="a number below 1e308", received="a larger one") from fault


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")
