"""Arrays to and from the JSON of golden rows, and where two arrays differ."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np

from hotplate.protocol.datatypes import from_name
from hotplate_tools.failures import RefusedError

__all__ = ["array_of", "difference", "jsonable"]

type Array = np.ndarray[Any, Any]

# NumPy kinds that JSON data may have for a kind of dtype: nothing is rounded or cut.
_ALLOWED = {"b": "b", "i": "O", "u": "O", "f": "fiu"}


def array_of(data: Any, word: str, place: str) -> Array:
    """Return nested lists as an array of the protocol's datatype `word`.

    Raises:
        RefusedError: Ragged, or an element that the datatype does not hold exactly.
    """
    if word == "BYTES":
        return _bytes_array(data, place)
    wanted = from_name(word).dtype
    try:
        # Left to itself, NumPy makes floats of integers that only some of fit 64 signed bits.
        found = np.asarray(data, object if wanted.kind in "iu" else None)
        if found.size and found.dtype.kind not in _ALLOWED[wanted.kind]:
            raise RefusedError(f"{place}: {found.dtype} elements for {word}")
        if wanted.kind in "iu":
            _refuse_misfits(found, word, place)
        return np.ascontiguousarray(found.astype(wanted)).reshape(found.shape)
    except ValueError as fault:
        raise RefusedError(f"{place}: not a regular nested list: {fault}") from fault


def jsonable(array: Array) -> Any:
    """Return what `array_of` reads back as the same elements; floats keep their shortest exact digits."""
    if array.dtype.kind in "OSU":
        flat = [_text(element) for element in array.reshape(-1)]
        cells = np.empty(len(flat), object)
        cells[:] = flat
        return cells.reshape(array.shape).tolist()
    # orjson writes arrays natively, float32 with float32's digits; but none without axes.
    return array.item() if array.ndim == 0 else np.ascontiguousarray(array)


def difference(got: Array, expected: Array, *, rtol: float, atol: float) -> str | None:
    """Return in words where `got` leaves `expected`, or None where it nowhere does.

    Floats agree within `atol + rtol * |expected|`, NaN with NaN; everything else must be equal.
    """
    if got.shape != expected.shape:
        return f"shape {list(got.shape)}, golden has {list(expected.shape)}"
    if got.dtype.kind == "f":
        close = np.isclose(got.astype(np.float64), expected.astype(np.float64), rtol, atol, equal_nan=True)
    elif got.dtype.kind in "OSU":
        pairs = zip(got.reshape(-1), expected.reshape(-1), strict=True)
        close = np.array([_raw(one) == _raw(other) for one, other in pairs], bool).reshape(got.shape)
    else:
        close = got == expected
    if close.all():
        return None
    where = np.unravel_index(int(np.argmin(close)), got.shape)
    text = f"element {[int(axis) for axis in where]} is {got[where]}, golden has {expected[where]}"
    if got.dtype.kind == "f":
        text += f" (allowed: {atol} + {rtol} * |golden|)"
    return f"{text}; {int((~close).sum())} of {got.size} elements differ"


def _refuse_misfits(integers: Array, word: str, place: str) -> None:
    bounds = np.iinfo(from_name(word).dtype)
    for element in integers.reshape(-1):
        if type(element) is not int or not bounds.min <= element <= bounds.max:
            raise RefusedError(f"{place}: an element of {word} is {str(element)[:60]}")


def _bytes_array(data: Any, place: str) -> Array:
    shape = _shape(data)
    flat: list[Any] = [data]
    for _ in shape:
        if not all(isinstance(part, list) for part in flat) or len({len(part) for part in flat}) > 1:
            raise RefusedError(f"{place}: not a regular nested list")
        flat = [element for part in flat for element in part]
    array = np.empty(len(flat), object)
    array[:] = [_element(element, place) for element in flat]
    return array.reshape(shape)


def _shape(data: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(data, list):
        shape.append(len(data))
        data = data[0] if data else None
    return tuple(shape)


def _element(element: Any, place: str) -> bytes:
    if isinstance(element, str):
        return element.encode()
    if isinstance(element, dict) and set(element) == {"b64"} and isinstance(element["b64"], str):
        try:
            return base64.b64decode(element["b64"], validate=True)
        except binascii.Error as fault:
            raise RefusedError(f"{place}: not base64: {fault}") from fault
    raise RefusedError(f'{place}: {type(element).__name__} element for BYTES; a string or {{"b64": "..."}}')


def _raw(element: Any) -> bytes:
    return element if isinstance(element, bytes) else str(element).encode()


def _text(element: Any) -> str | dict[str, str]:
    raw = _raw(element)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(raw).decode()}
