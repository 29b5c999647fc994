"""Answers: tensors to bytes, and back for clients.

Rules kept here:

1. Outputs go in the order given, each as JSON (flat `data`, row-major) or as binary data.
2. `id` is there only if the request had one.
3. What JSON cannot hold (NaN, infinity, FP16, bytes that are not UTF-8) is refused by a named error that
   says to ask for binary data; nothing is written as null.

Law: `decode_response(encode_response(y)) == y`, tensors compared by value.
Source: Open Inference Protocol v2, "Inference Response" and "Binary Tensor Data Extension".
"""

from __future__ import annotations

from typing import Any

from hotplate.errors import MalformedRequestError
from hotplate.protocol.binary_codec import split
from hotplate.protocol.json_document import excerpt, fields, parse
from hotplate.protocol.tensor import decode_tensors, encode_body, read_list, read_tensor
from hotplate.protocol.types import InferenceResponse

__all__ = ["decode_response", "encode_response"]


def encode_response(response: InferenceResponse) -> tuple[bytes, int | None]:
    """Return an answer's body and the length of its JSON part (None if all of it is JSON).

    Raises:
        DatatypeMismatchError: FP16 asked for as JSON.
        ValueRangeError: Elements that JSON cannot hold, asked for as JSON.
        InferenceError: An array is not of its output's datatype.
    """
    head: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id is not None:
        head["id"] = response.id
    return encode_body(head, "outputs", response.outputs, response.binary)


def decode_response(body: bytes, header_length: str | None) -> InferenceResponse:
    """Return the answer in `body`, for a client.

    Args:
        body: As received.
        header_length: The header `Inference-Header-Content-Length` as received; None for a JSON body.

    Raises:
        MalformedRequestError: Body, header or a member cannot be read, or an output comes twice.
        DatatypeMismatchError, ShapeMismatchError, ValueRangeError: Elements that are not what their
            entry says.
    """
    raw, section = split(body, header_length)
    answer = fields(parse(raw), ("model_name", "model_version", "id", "outputs"), what="the answer")
    for name in ("model_name", "model_version", "id"):
        if not isinstance(answer.setdefault(name, None if name == "id" else ""), str | None):
            raise MalformedRequestError(
                f"{name} of the answer", expected="text", received=excerpt(answer[name])
            )
    entries = read_list(answer.get("outputs"), what="outputs of the answer")
    sent = [read_tensor(entry, role="output") for entry in entries]
    if len({one.name for one in sent}) != len(sent):
        raise MalformedRequestError("outputs of the answer", expected="each once", received="one twice")
    return InferenceResponse(
        model_name=answer["model_name"],
        model_version=answer["model_version"],
        id=answer["id"],
        outputs=decode_tensors(sent, document=raw, arrays=1, section=section),
        binary=frozenset(one.name for one in sent if one.binary_bytes is not None),
    )
