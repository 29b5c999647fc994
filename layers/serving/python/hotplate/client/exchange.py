"""One call without input or output: what to send, what to wait for, what an answer means.

A conversation is a generator. It yields `Send` and is sent an `Answer`, or `Unsent` where no connection was
made; or it yields `Wait` and is sent None. What it returns is the result. Both clients drive the same ones.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson

from hotplate.client.faults import ApiError, UnreachableError
from hotplate.client.retries import RETRIED
from hotplate.client.tensors import Prediction, Signature
from hotplate.errors import MalformedRequestError
from hotplate.limits import MAX_BODY_BYTES
from hotplate.protocol.binary_codec import encode_elements
from hotplate.protocol.datatypes import from_name
from hotplate.protocol.request import encode_request
from hotplate.protocol.response import decode_response
from hotplate.protocol.types import RequestOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.client.retries import Retries
    from hotplate.protocol.types import Tensor

__all__ = [
    "Answer",
    "Conversation",
    "Send",
    "Unsent",
    "Wait",
    "ask_models",
    "ask_signature",
    "ask_usage",
    "exchange",
    "infer",
    "model_path",
    "read_json",
    "read_prediction",
    "request_of",
]

_LENGTH = "inference-header-content-length"


@dataclass(frozen=True, slots=True)
class Send:
    """A request. `path` begins with a slash, and is the API's; else it is an address that is told no key."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; headers by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Unsent:
    """No connection was made; `reason` in words."""

    reason: str


type Conversation[T] = Generator[Send | Wait, Answer | Unsent | None, T]


def ask_models(retries: Retries) -> Conversation[list[str]]:
    """Return the names of the models that are ready.

    Raises:
        ApiError, UnreachableError: There was no such answer.
    """
    answer = yield from exchange(Send("POST", "/v2/repository/index", _JSON, b'{"ready":true}'), retries)
    return [entry["name"] for entry in read_json(answer)]


def ask_signature(path: str, retries: Retries) -> Conversation[Signature]:
    """Return the signature of the model under `path`.

    Raises:
        ApiError, UnreachableError: There was no such answer.
    """
    answer = yield from exchange(Send("GET", path), retries)
    return Signature.from_metadata(read_json(answer))


def infer(
    path: str, tensors: Sequence[Tensor], outputs: Sequence[str], retries: Retries
) -> Conversation[Prediction]:
    """Return what the model under `path` answers; all outputs if none is named.

    What is too large for an answer is asked for again by reference, and fetched.

    Raises:
        ApiError, UnreachableError: There was no such answer.
    """
    request = yield from request_of(path, tensors, outputs, retries)
    try:
        answer = yield from exchange(request, retries)
    except ApiError as fault:
        if fault.status != _TOO_LARGE or not fault.detail.startswith("answer:"):
            raise
    else:
        return read_prediction(answer.body, answer.headers)
    request = yield from request_of(path, tensors, outputs, retries, by_reference=True)
    answer = yield from exchange(request, retries)
    told = read_json(answer)["parameters"]
    whole = yield from exchange(Send("GET", str(told["output_uri"])), retries)
    headers = {**told["output_headers"], "x-request-id": answer.headers.get("x-request-id", "")}
    return read_prediction(whole.body, headers)


def request_of(
    path: str,
    tensors: Sequence[Tensor],
    outputs: Sequence[str],
    retries: Retries,
    *,
    by_reference: bool = False,
) -> Conversation[Send]:
    """Return the request that asks the model under `path`; all outputs if none is named.

    What is too large for a body is uploaded first, and sent by reference.

    Raises:
        ApiError, UnreachableError: It could not be uploaded.
    """
    wanted = [RequestOutput(name, binary=True) for name in outputs]
    references = yield from _upload_large(tensors, retries)
    more = {"output_by_reference": True} if by_reference else {}
    body, length = encode_request(tensors, outputs=wanted, references=references, parameters=more)
    headers = _JSON if length is None else {_LENGTH: str(length), "content-type": _BYTES}
    return Send("POST", f"{path}/infer", headers, body)


def read_prediction(body: bytes, headers: Mapping[str, str]) -> Prediction:
    """Return the prediction in an answer; headers by lower-case name."""
    response = decode_response(body, headers.get(_LENGTH))
    return Prediction(
        {tensor.name: tensor.array for tensor in response.outputs},
        response.model_name,
        response.model_version,
        headers.get("x-request-id", ""),
    )


def ask_usage(query: Mapping[str, str], retries: Retries) -> Conversation[dict[str, Any]]:
    """Return what the caller's tenant has used.

    Raises:
        ApiError, UnreachableError: There was no such answer.
    """
    path = f"/usage?{urlencode(query)}" if query else "/usage"
    answer = yield from exchange(Send("GET", path), retries)
    found: dict[str, Any] = read_json(answer)
    return found


def model_path(name: str, version: str | None) -> str:
    """Return the path of a model, or of one version of it."""
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


_BYTES = "application/octet-stream"
_JSON = {"content-type": "application/json"}
# What the JSON part of a body may need beside the elements, in bytes; a tensor's entry is about a hundred.
_HEAD_BYTES = 64 * 1024
# How a server says that a body, or its answer, is too large for a call.
_TOO_LARGE = 413
# How a server says that it takes no uploads: one of the protocol that is not hotplate.
_NO_UPLOADS = (404, 405)


def _upload_large(tensors: Sequence[Tensor], retries: Retries) -> Conversation[dict[str, str]]:
    """Return references by name: the largest inputs are uploaded until the others fit a body."""
    left = sum(map(_size, tensors))
    references: dict[str, str] = {}
    for tensor in sorted(tensors, key=_size, reverse=True):
        if left <= MAX_BODY_BYTES - _HEAD_BYTES:
            break
        if tensor.datatype == "BYTES" and tensor.array.size != 1:
            continue  # An object is one element.
        uri = yield from _upload(_object(tensor), retries)
        if uri is None:
            return {}
        references[tensor.name] = uri
        left -= _size(tensor)
    return references


def _size(tensor: Tensor) -> int:
    """Return the bytes of a tensor in a body."""
    if tensor.datatype == "BYTES":
        return sum(4 + len(element) for element in tensor.array.flat)
    return int(tensor.array.nbytes)


def _object(tensor: Tensor) -> bytes:
    """Return a tensor as an object that is referred to: of BYTES, the one element."""
    if tensor.datatype == "BYTES":
        element: bytes = tensor.array.flat[0]
        return element
    return bytes(encode_elements(tensor.array, from_name(tensor.datatype)))


def _upload(raw: bytes, retries: Retries) -> Conversation[str | None]:
    """Return the reference to bytes that were uploaded; None where the server takes no uploads."""
    asked = orjson.dumps({"size": len(raw), "content_type": _BYTES})
    try:
        answer = yield from exchange(Send("POST", "/uploads", _JSON, asked), retries)
    except ApiError as fault:
        if fault.status in _NO_UPLOADS:
            return None
        raise
    given = read_json(answer)
    try:
        url, headers, uri = given["upload_url"], dict(given["headers"]), str(given["input_uri"])
    except (KeyError, TypeError, ValueError) as fault:
        expected = "upload_url, headers and input_uri"
        raise MalformedRequestError(
            "the answer of /uploads", expected=expected, received=repr(fault)[:200]
        ) from fault
    yield from exchange(Send("PUT", url, headers, raw), retries)
    return uri


def exchange(request: Send, retries: Retries) -> Conversation[Answer]:
    """Return the answer to a request, which is made again where that may help.

    Raises:
        ApiError, UnreachableError: There was none below 400.
    """
    tried = 0
    while True:
        came = yield request
        tried += 1
        if isinstance(came, Answer) and came.status < 400:
            return came
        header = came.headers.get("retry-after") if isinstance(came, Answer) else None
        is_worth_it = isinstance(came, Unsent) or (isinstance(came, Answer) and came.status in RETRIED)
        wait = retries.wait_s(tried, header) if is_worth_it else None
        if wait is None:
            raise _fault(came)
        yield Wait(wait)


def _fault(came: Answer | Unsent | None) -> ApiError | UnreachableError:
    if isinstance(came, Answer):
        return ApiError.from_answer(came.status, came.body, came.headers.get("x-request-id", ""))
    return UnreachableError(came.reason if came else "nothing came")


def read_json(answer: Answer) -> Any:
    """Return the JSON of an answer.

    Raises:
        MalformedRequestError: It has none.
    """
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError as fault:
        raise MalformedRequestError("the answer", expected="JSON", received=str(fault)) from fault
