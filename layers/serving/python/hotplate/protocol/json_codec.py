"""Tensors in JSON: `data` to an array, and an array to `data`.

Rules kept here:

1. Numbers go from the parser's memory to NumPy in one copy; none becomes a Python object on its way.
2. JSON has no NaN and no infinity: a request that writes them is not JSON, and an answer that holds
   them is refused by `ValueRangeError`. A binary tensor holds them.
3. JSON has no 16-bit floats: FP16 travels as binary data only, in both directions.
4. Nothing is cast: an integer datatype takes integers that it can hold, BOOL takes true and false, a
   float datatype takes any number that is finite in it. 64-bit integers stay exact.
5. `data` is flat, or nested exactly as the shape says, checked at every level and for every element
   (simdjson's `as_buffer` flattens whatever is nested, so the check comes before it).
   A tensor without axes is `[value]`, or the value alone.
6. BYTES are text in UTF-8, or base64 where the tensor's `content_type` says so.

It does not compare a tensor with what a model declares: see `tensor`.
Source: Open Inference Protocol v2, "Tensor Data".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pybase64

from hotplate.errors import DatatypeMismatchError, MalformedRequestError, ShapeMismatchError, ValueRangeError
from hotplate.protocol.json_document import Json, excerpt, is_array

if TYPE_CHECKING:
    from hotplate.protocol.datatypes import Datatype

__all__ = ["JsonData", "decode_elements", "encode_elements", "objects", "read_structure", "refuse_arrays"]

type Array = np.ndarray[Any, Any]
type Shape = tuple[int, ...]

# By kind of dtype: simdjson's letter and NumPy's dtype of its widest number.
_WIDEST = {"f": ("d", np.dtype("<f8")), "i": ("i", np.dtype("<i8")), "u": ("u", np.dtype("<u8"))}

_ASK_FOR_BINARY = "ask for binary data (parameters.binary_data)"


class JsonData(msgspec.Struct, frozen=True, eq=False):
    """A tensor's `data` whose lengths agree with its shape; the elements are not read yet.

    Attributes:
        whole: All of it.
        rows: The innermost arrays.
        arrays: How many arrays were seen: `whole`, `rows` and those between.
    """

    whole: Json
    rows: list[Json]
    arrays: int

    def elements(self) -> Iterator[Json]:
        """Yield the elements in row-major order, each as a Python object."""
        for row in self.rows:
            yield from row


def read_structure(node: Json, shape: Shape, *, what: str) -> JsonData:
    """Return `data` with its lengths checked, at every level if it is nested.

    Raises:
        MalformedRequestError: Not an array.
        ShapeMismatchError: Another element count than the shape's, or nested in another way.
    """
    what = f"data of {what}"
    if not is_array(node):
        if shape:
            raise MalformedRequestError(what, expected="an array", received=excerpt(node))
        return JsonData([node], [[node]], 0)
    is_nested = len(shape) > 1 and len(node) > 0 and is_array(node[0])
    if not is_nested:
        return JsonData(node, [_sized(node, math.prod(shape), shape, what)], 1)
    level, arrays = [_sized(node, shape[0], shape, what)], 1
    for size in shape[1:]:
        level = [_sized(row, size, shape, what) for array in level for row in array]
        arrays += len(level)
    return JsonData(node, level, arrays)


def refuse_arrays(data: JsonData, *, what: str) -> None:
    """Look at every element: the slow way, for a document that holds more arrays than were seen.

    Raises:
        ShapeMismatchError: An array where the shape wants an element.
    """
    if any(is_array(element) for element in data.elements()):
        raise ShapeMismatchError(
            f"data of {what}", expected="one element in each place", received="an array among the elements"
        )


def decode_elements(
    data: JsonData, datatype: Datatype, shape: Shape, *, what: str, is_base64: bool = False
) -> Array:
    """Return the elements as one array of `shape` and of the datatype's dtype, C-contiguous.

    Args:
        data: Of `read_structure`, with no array among the elements.
        datatype: Of the elements.
        shape: As sent.
        what: The tensor, for errors.
        is_base64: BYTES come as base64, not as text.

    Raises:
        DatatypeMismatchError: An element is not of the datatype, or the datatype is FP16.
        ValueRangeError: A number that the datatype cannot hold.
        MalformedRequestError: Not base64.
    """
    if datatype.name == "FP16":
        expected = "FP16 as binary data (parameters.binary_data_size)"
        raise DatatypeMismatchError(f"data of {what}", expected=expected, received="FP16 in JSON")
    what = f"data of {what}"
    if datatype.name == "BYTES":
        texts = _typed(data, (str,), datatype, what)
        return objects([_decode_text(text, what, is_base64=is_base64) for text in texts], shape)
    if datatype.name == "BOOL":
        return np.array(_typed(data, (bool,), datatype, what), datatype.dtype).reshape(shape)
    return _decode_numbers(data, datatype, what).reshape(shape)


def encode_elements(array: Array, datatype: Datatype, *, what: str) -> Array | list[str]:
    """Return what orjson writes as a tensor's flat, row-major `data`.

    Raises:
        DatatypeMismatchError: FP16.
        ValueRangeError: NaN, infinity or bytes that are not UTF-8: none of them is JSON.
    """
    flat = np.ascontiguousarray(array.reshape(-1))
    if datatype.name == "FP16":
        expected = f"a datatype that JSON has; {_ASK_FOR_BINARY}"
        raise DatatypeMismatchError(what, expected=expected, received="FP16")
    if datatype.name == "BYTES":
        try:
            return [str(element, "utf-8") for element in flat]
        except UnicodeDecodeError as fault:
            expected = f"text in UTF-8; for other bytes {_ASK_FOR_BINARY}"
            raise ValueRangeError(what, expected=expected, received="bytes that are not UTF-8") from fault
    if datatype.dtype.kind == "f" and not np.isfinite(flat).all():
        expected = f"finite numbers in JSON; for others {_ASK_FOR_BINARY}"
        raise ValueRangeError(what, expected=expected, received="NaN or infinity")
    return flat


def objects(elements: list[bytes], shape: Shape) -> Array:
    """Return an object array; NumPy's own constructor would guess at what the elements are."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


def _sized(array: Json, size: int, shape: Shape, what: str) -> Json:
    if is_array(array) and len(array) == size:
        return array
    received = f"an array of {len(array)}" if is_array(array) else f"{excerpt(array)} among arrays"
    raise ShapeMismatchError(
        what, expected=f"shape {list(shape)}, flat or nested, so an array of {size}", received=received
    )


def _decode_text(text: str, what: str, *, is_base64: bool) -> bytes:
    if not is_base64:
        return text.encode()
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError as fault:
        raise MalformedRequestError(what, expected="base64", received=excerpt(text)) from fault


def _decode_numbers(data: JsonData, datatype: Datatype, what: str) -> Array:
    if isinstance(data.whole, list):
        return _decode_one_by_one(data, datatype, what)
    letter, widest = _WIDEST[datatype.dtype.kind]
    try:
        return _narrow(np.frombuffer(data.whole.as_buffer(of_type=letter), widest), datatype)
    except (TypeError, ValueError, ArithmeticError):
        return _decode_one_by_one(data, datatype, what)  # which finds the element at fault


def _narrow(values: Array, datatype: Datatype) -> Array:
    """Return the values in the datatype's dtype; raises ArithmeticError for one it cannot hold."""
    if datatype.dtype.kind == "f":
        with np.errstate(over="raise", under="ignore"):
            return values.astype(datatype.dtype, copy=False)
    limits = np.iinfo(datatype.dtype)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise OverflowError
    return values.astype(datatype.dtype, copy=False)


def _decode_one_by_one(data: JsonData, datatype: Datatype, what: str) -> Array:
    if datatype.dtype.kind == "f":
        wide = np.array([float(e) for e in _typed(data, (int, float), datatype, what)], np.float64)
        with np.errstate(over="ignore", under="ignore"):
            narrow = wide.astype(datatype.dtype)
        for index in np.flatnonzero(~np.isfinite(narrow))[:1]:
            raise _out_of_range(float(wide[index]), datatype, what)
        return narrow
    limits = np.iinfo(datatype.dtype)
    elements = _typed(data, (int,), datatype, what)
    for element in elements:
        if not limits.min <= element <= limits.max:
            raise _out_of_range(element, datatype, what)
    return np.array(elements, datatype.dtype)


def _out_of_range(value: float, datatype: Datatype, what: str) -> ValueRangeError:
    limits = np.finfo(datatype.dtype) if datatype.dtype.kind == "f" else np.iinfo(datatype.dtype)
    expected = f"numbers from {limits.min} to {limits.max} for {datatype.name}"
    return ValueRangeError(what, expected=expected, received=excerpt(value))


def _typed(data: JsonData, types: tuple[type, ...], datatype: Datatype, what: str) -> list[Any]:
    elements = list(data.elements())
    if not set(map(type, elements)) <= set(types):
        wrong = next(element for element in elements if type(element) not in types)
        words = {bool: "true or false", str: "strings", int: "integers", float: "numbers"}
        expected = f"{words[types[-1]]} for {datatype.name}"
        raise DatatypeMismatchError(what, expected=expected, received=excerpt(wrong))
    return elements
