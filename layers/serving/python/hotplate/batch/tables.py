"""Arrow tables to arrays and back: the one place that knows arro3, which has no error class of its own.

Nulls and text have no NumPy form that is free, so they are looked for before anything is converted.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import arro3.core as arrow
import numpy as np
from arro3.core import DataType

from hotplate.protocol.json_codec import objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Array = np.ndarray[Any, Any]

__all__ = [
    "TEXT",
    "ArrowError",
    "arrow_faults",
    "bits_of",
    "bytes_of",
    "nulls_of",
    "numbers_of",
    "text_array",
    "type_words",
    "whole",
]

TEXT = DataType.utf8()

# A column of fewer different texts than this is made of them by number, in a third of the time. Ours.
_FEW_TEXTS = 256


class ArrowError(Exception):
    """Arrow refused what it was given; its words may hold the data, so they go nowhere."""


@contextmanager
def arrow_faults() -> Iterator[None]:
    """Make any error of the library ours.

    Raises:
        ArrowError: For what arro3 raises: bare `Exception`s, `ValueError`s and `OSError`s; and where its Rust
            panics on what is damaged, which is no `Exception` to Python.
    """
    try:
        yield
    except ArrowError:
        raise
    except Exception as fault:  # the library raises the root class itself
        raise ArrowError(str(fault)) from fault
    except BaseException as fault:
        if type(fault).__name__ != "PanicException":  # of no module that could be imported
            raise
        raise ArrowError(str(fault)) from fault


def type_words(kind: DataType) -> str:
    """Return a type as Arrow calls it, e.g. `Utf8`."""
    return str(kind).strip().removeprefix("arro3.core.DataType<").removesuffix(">")


def bits_of(kind: DataType) -> int:
    """Return how many bits an element of a type takes; 0 if it may be any."""
    return 1 if DataType.is_boolean(kind) else kind.bit_width or 0


def whole(column: arrow.ChunkedArray) -> arrow.Array:
    """Return a column as one array."""
    chunks = column.chunks
    return chunks[0] if len(chunks) == 1 else column.combine_chunks()


def nulls_of(array: arrow.Array) -> Array | None:
    """Return which elements are null, bool [N]; None if none is."""
    if not array.null_count:
        return None
    return np.fromiter((value is None for value in array.to_pylist()), np.bool_, len(array))


def numbers_of(array: arrow.Array) -> Array:
    """Return numbers, or true and false; 0 where one is null."""
    if not array.null_count:
        return array.to_numpy()
    dtype = array.slice(0, 0).to_numpy().dtype
    return np.array([0 if value is None else value for value in array.to_pylist()], dtype)


def bytes_of(array: arrow.Array) -> Array:
    """Return texts, or bytes, as an object array of `bytes`; b"" where one is null."""
    values = array.to_pylist()
    elements = [value.encode() if isinstance(value, str) else bytes(value or b"") for value in values]
    return objects(elements, (len(elements),))


def text_array(texts: Sequence[bytes]) -> arrow.Array:
    """Return bytes as a column of text; null where they are not UTF-8."""
    listed = list(texts)
    different = list(dict.fromkeys(listed))
    if len(different) >= min(_FEW_TEXTS, len(listed)):
        return arrow.Array(listed, type=DataType.binary()).cast(TEXT)
    numbers = {text: number for number, text in enumerate(different)}
    places = np.fromiter(map(numbers.__getitem__, listed), np.int32, len(listed))
    return arrow.Array(different, type=DataType.binary()).cast(TEXT).take(arrow.Array(places))
