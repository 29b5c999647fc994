"""Inputs whose elements are not in the body but in an object that it names.

An input with `parameters.input_uri` has no data. What is at that address is, for numbers, what the binary
part would hold, in just as many bytes as shape and datatype say; for BYTES it is the one element itself.
What addresses there are, and whose, is not known here: `fetch` knows.

Imported by the first request that refers to something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hotplate.errors import MalformedRequestError, PayloadTooLargeError, ShapeMismatchError
from hotplate.limits import MAX_UPLOAD_BYTES
from hotplate.protocol.binary_codec import decode_elements
from hotplate.protocol.datatypes import from_name
from hotplate.protocol.json_codec import objects
from hotplate.protocol.types import Tensor

if TYPE_CHECKING:
    from hotplate.protocol.tensor import SentTensor

__all__ = ["Fetch", "Reference", "with_fetched"]


class Reference(NamedTuple):
    """Where the elements of an input are.

    Attributes:
        what: The reference in words, for errors.
        uri: As sent.
        size: Bytes that the object must have; None for any number up to `most`.
        most: Bytes that may still be read for this request.
    """

    what: str
    uri: str
    size: int | None
    most: int


# Returns the object's bytes, read-only; raises a `RequestError` or a `StoreError`.
type Fetch = Callable[[Reference], memoryview]


def with_fetched(
    sent: Sequence[SentTensor], here: Sequence[Tensor], fetch: Fetch | None
) -> tuple[Tensor, ...]:
    """Return all tensors of a body, those with a `uri` fetched one after the other.

    Args:
        sent: All, in the body's order.
        here: Those without a `uri`, decoded, in the same order.
        fetch: None where references are not taken.

    Raises:
        MalformedRequestError: They are not taken.
        ShapeMismatchError: BYTES of more or fewer elements than one, or an object of another length.
        PayloadTooLargeError: Over `MAX_UPLOAD_BYTES` together.
        RequestError, StoreError: What `fetch` raises.
    """
    left, decoded = MAX_UPLOAD_BYTES, iter(here)
    tensors = []
    for one in sent:
        if one.uri is None:
            tensors.append(next(decoded))
            continue
        what = f"input_uri of {one.what}"
        if fetch is None:
            expected = "data or parameters.binary_data_size; no references are read here"
            raise MalformedRequestError(what, expected=expected, received="a reference")
        raw = fetch(Reference(what, one.uri, _size(one, what, left), left))
        left -= len(raw)
        tensors.append(_tensor(one, raw))
    return tuple(tensors)


def _size(sent: SentTensor, what: str, left: int) -> int | None:
    item_bytes, count = from_name(sent.datatype).item_bytes, math.prod(sent.shape)
    if item_bytes is None:
        if count == 1:
            return None
        expected = "one element, which is the whole object, where BYTES come by reference"
        raise ShapeMismatchError(f"shape of {sent.what}", expected=expected, received=f"{count} elements")
    size = count * item_bytes
    if size > left:
        raise PayloadTooLargeError(
            what,
            expected=f"at most {MAX_UPLOAD_BYTES} bytes by reference in one request",
            received=f"{size} bytes where {left} were left",
        )
    return size


def _tensor(sent: SentTensor, raw: memoryview) -> Tensor:
    datatype = from_name(sent.datatype)
    if datatype.item_bytes is None:
        array = objects([bytes(raw)], sent.shape)
    else:
        array = decode_elements(raw, datatype, sent.shape, what=sent.what)
    return Tensor(sent.name, sent.datatype, array, sent.parameters)
