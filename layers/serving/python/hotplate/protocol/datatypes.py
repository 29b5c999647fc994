"""The one table of datatypes: the protocol's word, NumPy's dtype, bytes per element, ONNX Runtime's type.

Rules kept here:

1. Every conversion between the four vocabularies goes through this table; an unknown entry raises.
2. Dtypes are little endian, as the binary extension sends them.
3. ONNX Runtime calls an open dimension by a name or None, the protocol calls it -1: `shape_of` converts.

BF16 is in no column: NumPy has no such dtype, so a model that wants it is refused by name.

Source: Open Inference Protocol v2, "Tensor Data Types"; ONNX Runtime, `NodeArg.type`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hotplate.errors import DatatypeMismatchError, GraphError

__all__ = ["DATATYPES", "Datatype", "from_dtype", "from_name", "from_ort", "shape_of"]


class Datatype(NamedTuple):
    """One row of the table.

    Attributes:
        name: The protocol's word.
        dtype: NumPy's; object for BYTES, whose elements are `bytes`.
        item_bytes: Bytes per element in a binary tensor; None where elements differ in length.
        ort_type: What ONNX Runtime calls a tensor of it.
    """

    name: str
    dtype: np.dtype[Any]
    item_bytes: int | None
    ort_type: str


DATATYPES = (
    Datatype("BOOL", np.dtype("?"), 1, "tensor(bool)"),
    Datatype("UINT8", np.dtype("<u1"), 1, "tensor(uint8)"),
    Datatype("UINT16", np.dtype("<u2"), 2, "tensor(uint16)"),
    Datatype("UINT32", np.dtype("<u4"), 4, "tensor(uint32)"),
    Datatype("UINT64", np.dtype("<u8"), 8, "tensor(uint64)"),
    Datatype("INT8", np.dtype("<i1"), 1, "tensor(int8)"),
    Datatype("INT16", np.dtype("<i2"), 2, "tensor(int16)"),
    Datatype("INT32", np.dtype("<i4"), 4, "tensor(int32)"),
    Datatype("INT64", np.dtype("<i8"), 8, "tensor(int64)"),
    Datatype("FP16", np.dtype("<f2"), 2, "tensor(float16)"),
    Datatype("FP32", np.dtype("<f4"), 4, "tensor(float)"),
    Datatype("FP64", np.dtype("<f8"), 8, "tensor(double)"),
    Datatype("BYTES", np.dtype(object), None, "tensor(string)"),
)
_BY_NAME = {row.name: row for row in DATATYPES}
_BY_DTYPE = {row.dtype: row for row in DATATYPES}
_BY_ORT_TYPE = {row.ort_type: row for row in DATATYPES}


def from_name(name: str) -> Datatype:
    """Return the row of the protocol's word.

    Raises:
        DatatypeMismatchError: No such datatype here.
    """
    row = _BY_NAME.get(name)
    if row is None:
        raise _unknown(repr(name[:60]))
    return row


def from_dtype(dtype: np.dtype[Any]) -> Datatype:
    """Return the row of a NumPy dtype; byte order counts.

    Raises:
        DatatypeMismatchError: The protocol has no datatype for it.
    """
    row = _BY_DTYPE.get(dtype)
    if row is None:
        raise _unknown(f"NumPy's {dtype.str}")
    return row


def from_ort(ort_type: str) -> Datatype:
    """Return the row of ONNX Runtime's type, e.g. `tensor(float)`.

    Raises:
        GraphError: Callers cannot send or get such a value: a sequence, a map, a bfloat16 tensor.
    """
    row = _BY_ORT_TYPE.get(ort_type)
    if row is None:
        known = ", ".join(_BY_ORT_TYPE)
        raise GraphError(f"the protocol has no datatype for ONNX type {ort_type!r}; it has: {known}")
    return row


def shape_of(dims: Sequence[int | str | None]) -> tuple[int, ...]:
    """Return ONNX Runtime's dimensions in the protocol's words: -1 where one is a name, None or negative."""
    return tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in dims)


def _unknown(received: str) -> DatatypeMismatchError:
    return DatatypeMismatchError("the datatype", expected=f"one of {', '.join(_BY_NAME)}", received=received)
