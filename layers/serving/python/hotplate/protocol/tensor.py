"""A tensor on the wire: its JSON entry, and its elements in JSON or in the binary part.

Rules kept here:

1. A claimed shape is judged before its data is looked at, and nothing is allocated for it: at most
   `MAX_RANK` axes, and `MAX_TENSOR_ELEMENTS` elements with zero-size axes counted as one.
2. The elements come in exactly one way: as `data`, as `parameters.binary_data_size` bytes, or, of an input,
   as the object at `parameters.input_uri`. Its bytes are those of the binary part; of BYTES, where one
   element is all that can come so, they are that element, with no length before it.
3. Both parameters belong to the wire: they are not among a decoded tensor's.
4. What is referred to is at most `MAX_UPLOAD_BYTES` a request, which stands for `MAX_TENSOR_ELEMENTS` there.
5. Unknown members and unknown parameters are allowed, as the protocol says.

It does not know which tensors a model wants: see `request`.
Source: Open Inference Protocol v2, "Request Input", "Response Output", "Binary Tensor Data Extension".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import orjson

from hotplate.errors import InferenceError, MalformedRequestError, ShapeMismatchError
from hotplate.limits import MAX_RANK, MAX_TENSOR_ELEMENTS, MAX_UPLOAD_BYTES
from hotplate.protocol import binary_codec, json_codec
from hotplate.protocol.datatypes import from_name
from hotplate.protocol.json_document import Json, excerpt, fields, holds_more_arrays, is_array, mapping
from hotplate.protocol.types import Tensor

if TYPE_CHECKING:
    from hotplate.protocol.binary_codec import BinarySection
    from hotplate.protocol.references import Fetch

__all__ = ["SentTensor", "decode_tensors", "encode_body", "read_list", "read_name", "read_tensor"]

_SIZE = "binary_data_size"
_URI = "input_uri"

# Bytes that a JSON part is padded to, so that a first tensor of any datatype is aligned. Ours.
_ALIGNMENT = 8


class SentTensor(msgspec.Struct, frozen=True, eq=False):
    """A tensor's JSON entry, before its elements are decoded.

    Attributes:
        what: The tensor in words, for errors.
        name, datatype, shape, parameters: As sent.
        data: JSON, or None.
        binary_bytes: Length in the binary part, or None.
        uri: Where the elements are, or None.
    """

    what: str
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any]
    data: Json
    binary_bytes: int | None
    uri: str | None = None


def read_list(node: Json, *, what: str) -> list[Json]:
    """Return an array's elements.

    Raises:
        MalformedRequestError: Not an array.
    """
    if not is_array(node):
        raise MalformedRequestError(what, expected="an array", received=excerpt(node))
    return list(node)


def read_name(entry: dict[str, Json], *, what: str) -> str:
    """Return an entry's name.

    Raises:
        MalformedRequestError: None, or not text.
    """
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise MalformedRequestError(f"name of {what}", expected="text", received=excerpt(name))
    return name


def read_tensor(node: Json, *, role: Literal["input", "output"]) -> SentTensor:
    """Return one entry of `inputs`, or of an answer's `outputs`.

    Raises:
        MalformedRequestError: A member is missing or of the wrong type, or there is data twice or never.
        ShapeMismatchError: A shape that no tensor here can have.
    """
    entry = fields(node, ("name", "datatype", "shape", "parameters", "data"), what=f"an {role}")
    name = read_name(entry, what=f"an {role}")
    what = f"{role} {excerpt(name)}"
    datatype = entry.get("datatype")
    if not isinstance(datatype, str):
        raise MalformedRequestError(f"datatype of {what}", expected="text", received=excerpt(datatype))
    parameters = mapping(entry.get("parameters", {}), what=f"parameters of {what}")
    uri = _read_uri(parameters.pop(_URI, None), f"{_URI} of {what}") if role == "input" else None
    most = MAX_TENSOR_ELEMENTS if uri is None else MAX_UPLOAD_BYTES
    sent = SentTensor(
        what=what,
        name=name,
        datatype=datatype,
        shape=_read_shape(entry.get("shape"), f"shape of {what}", most),
        parameters=parameters,
        data=entry.get("data"),
        binary_bytes=_read_size(parameters.pop(_SIZE, None), f"{_SIZE} of {what}"),
        uri=uri,
    )
    if (sent.data is not None) + (sent.binary_bytes is not None) + (uri is not None) != 1:
        by_reference = f", or parameters.{_URI}" if role == "input" else ""
        expected = f"either data or parameters.{_SIZE}{by_reference}"
        came = {"data": sent.data, f"parameters.{_SIZE}": sent.binary_bytes, f"parameters.{_URI}": uri}
        received = " and ".join(way for way, value in came.items() if value is not None) or "neither"
        raise MalformedRequestError(what, expected=expected, received=received)
    return sent


def decode_tensors(
    sent: Sequence[SentTensor],
    *,
    document: bytes,
    arrays: int,
    section: BinarySection,
    fetch: Fetch | None = None,
) -> tuple[Tensor, ...]:
    """Return the tensors with their elements.

    Args:
        sent: All of a body's tensors, in its order.
        document: The JSON part of the body.
        arrays: How many arrays of the document the caller has seen, other than shapes and data.
        section: The binary part; taken to its end.
        fetch: Returns what an input refers to; None where references are not taken.

    Raises:
        RequestError: The elements are not what datatype and shape say; see the two codecs. Or a reference
            that is not taken.
        StoreError: What is referred to cannot be had.
    """
    structures = _structures(sent, document, arrays)
    tensors = tuple(
        _decode(one, structure, section)
        for one, structure in zip(sent, structures, strict=True)
        if one.uri is None
    )
    section.finish()
    if len(tensors) == len(sent):
        return tensors
    # Imported for who needs it. Last, so that nothing is fetched for what is wrong as it was sent.
    from hotplate.protocol.references import with_fetched

    return with_fetched(sent, tensors, fetch)


def encode_body(
    head: dict[str, Any],
    key: Literal["inputs", "outputs"],
    tensors: Sequence[Tensor],
    binary: frozenset[str],
    references: Mapping[str, str] | None = None,
) -> tuple[bytes, int | None]:
    """Return a body with `tensors` under `key`, and the length of its JSON part.

    Args:
        head: The other members.
        key: Where the tensors go.
        tensors: In the order to be sent.
        binary: Names of those to be sent as binary data; if there is none the length is None.
        references: By name, where the elements of some are; those are not sent.

    Raises:
        DatatypeMismatchError: FP16 in JSON.
        ValueRangeError: Elements that JSON cannot hold.
        InferenceError: An array is not of its tensor's datatype.
    """
    chunks: list[bytes | memoryview] = []
    elsewhere = references or {}
    head[key] = [
        _refer(tensor, elsewhere[tensor.name])
        if tensor.name in elsewhere
        else _encode(tensor, key[:-1], chunks if tensor.name in binary else None)
        for tensor in tensors
    ]
    document = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(tensor.name in binary and tensor.name not in elsewhere for tensor in tensors):
        return document, None
    document += b" " * (-len(document) % _ALIGNMENT)
    return b"".join((document, *chunks)), len(document)


def _read_shape(node: Json, what: str, most: int) -> tuple[int, ...]:
    if not is_array(node):
        raise MalformedRequestError(what, expected="an array", received=excerpt(node))
    if len(node) > MAX_RANK:
        raise ShapeMismatchError(what, expected=f"at most {MAX_RANK} axes", received=f"{len(node)} axes")
    shape = tuple(node)
    for size in shape:
        if type(size) is not int:
            raise MalformedRequestError(what, expected="whole numbers", received=excerpt(size))
        if size < 0:
            raise ShapeMismatchError(what, expected="sizes of 0 and more", received=excerpt(size))
    if math.prod(size or 1 for size in shape) > most:
        expected = f"at most {most} elements"
        raise ShapeMismatchError(what, expected=expected, received=excerpt(str(list(shape))))
    return shape


def _read_size(size: Json, what: str) -> int | None:
    if size is not None and (type(size) is not int or size < 0):
        raise MalformedRequestError(what, expected="a number of bytes", received=excerpt(size))
    return size


def _structures(sent: Sequence[SentTensor], document: bytes, arrays: int) -> list[json_codec.JsonData | None]:
    structures = [
        None if one.data is None else json_codec.read_structure(one.data, one.shape, what=one.what)
        for one in sent
    ]
    arrays += len(sent) + sum(one.arrays for one in structures if one)
    if any(structures) and holds_more_arrays(document, arrays):
        for one, structure in zip(sent, structures, strict=True):
            if structure:
                json_codec.refuse_arrays(structure, what=one.what)
    return structures


def _read_uri(uri: Json, what: str) -> str | None:
    if uri is not None and not isinstance(uri, str):
        raise MalformedRequestError(what, expected="text", received=excerpt(uri))
    return uri


def _refer(tensor: Tensor, uri: str) -> dict[str, Any]:
    parameters = {**tensor.parameters, _URI: uri}
    shape = tensor.array.shape
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "parameters": parameters}


def _decode(sent: SentTensor, structure: json_codec.JsonData | None, section: BinarySection) -> Tensor:
    datatype = from_name(sent.datatype)
    if structure is not None:
        is_base64 = sent.parameters.get("content_type") == "base64"
        array = json_codec.decode_elements(
            structure, datatype, sent.shape, what=sent.what, is_base64=is_base64
        )
    else:
        raw = section.take(sent.binary_bytes or 0, what=sent.what)
        array = binary_codec.decode_elements(raw, datatype, sent.shape, what=sent.what)
    return Tensor(sent.name, sent.datatype, array, sent.parameters)


def _encode(tensor: Tensor, role: str, chunks: list[bytes | memoryview] | None) -> dict[str, Any]:
    what = f"{role} {excerpt(tensor.name)}"
    datatype = from_name(tensor.datatype)
    if tensor.array.dtype != datatype.dtype:
        raise InferenceError(f"{what} is declared {datatype.name}, its array is {tensor.array.dtype.str}")
    if datatype.name == "BYTES" and not all(isinstance(element, bytes) for element in tensor.array.flat):
        raise InferenceError(f"{what} is declared BYTES, its array holds other objects")
    entry: dict[str, Any] = {"name": tensor.name, "datatype": datatype.name, "shape": tensor.array.shape}
    parameters = dict(tensor.parameters)
    if chunks is None:
        entry["data"] = json_codec.encode_elements(tensor.array, datatype, what=what)
    else:
        chunks.append(binary_codec.encode_elements(tensor.array, datatype))
        parameters[_SIZE] = len(chunks[-1])
    if parameters:
        entry["parameters"] = parameters
    return entry
