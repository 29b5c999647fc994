"""API Gateway proxy events: read into a neutral request, written from a neutral answer.

Only REST API events (payload format 1.0) come here: the front door is a REST API.
Source: API Gateway Developer Guide, "Input format of a Lambda function for proxy integration".
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import pybase64

from hotplate.errors import MalformedRequestError, PayloadTooLargeError
from hotplate.limits import LAMBDA_PAYLOAD_BYTES, MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping  # noqa: TC004 - nobody reads these annotations at run time

__all__ = [
    "MAX_RESULT_BYTES",
    "HttpRequest",
    "HttpResponse",
    "LambdaContext",
    "read_event",
    "size_of",
    "write_result",
]


class LambdaContext(Protocol):
    """The part of Lambda's context object that is used here."""

    @property
    def aws_request_id(self) -> str:
        """The invocation's id."""

    @property
    def memory_limit_in_mb(self) -> str | int:
        """Memory of the function, MB."""


class TimedContext(LambdaContext, Protocol):
    """That of a function which looks at the time."""

    def get_remaining_time_in_millis(self) -> int:
        """Return how long this invocation may still take."""
        ...


class HttpRequest(msgspec.Struct, frozen=True):
    """A request without API Gateway in it.

    Attributes:
        method: Upper case.
        segments: The path's parts after the stage, percent-decoded, e.g. `("v2", "models", "digits")`.
        headers: By lower-case name; of a header sent twice, the last.
        body: The bytes as sent.
    """

    method: str
    segments: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes


class HttpResponse(msgspec.Struct, frozen=True):
    """An answer without API Gateway in it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    content_type: str = "application/json"


# What is left for a body of what Lambda lets a function return, in bytes: the rest is headers.
MAX_RESULT_BYTES = LAMBDA_PAYLOAD_BYTES - 4096
# What travels as text; everything else as base64, whatever its name ends with.
_TEXT_TYPES = ("application/json", "application/problem+json")


def read_event(event: Mapping[str, Any]) -> HttpRequest:
    """Return the request in a proxy event.

    Raises:
        MalformedRequestError: The event is not a proxy event, or its body is not the base64 it says.
        PayloadTooLargeError: The body is over `MAX_BODY_BYTES`.
    """
    try:
        method, path, headers = event["httpMethod"].upper(), event["path"], event.get("headers") or {}
        named = {name.lower(): value for name, value in headers.items() if value is not None}
        "".join([method, path, *named, *named.values()]).encode()
        segments = tuple(part for part in path.split("/") if part)
        if "%" in path:
            segments = _unquoted(segments)
        return HttpRequest(method, segments, named, _body(event))
    except (AttributeError, KeyError, TypeError, UnicodeEncodeError) as fault:
        raise MalformedRequestError(
            "event",
            expected="an API Gateway REST proxy event: httpMethod, path, headers and body, as text",
            received=f"{type(event).__name__}: {fault!r}"[:200],
        ) from fault


def write_result(response: HttpResponse) -> dict[str, Any]:
    """Return the proxy result. A body that is not all JSON travels as base64.

    Raises:
        PayloadTooLargeError: The result is over what Lambda lets a function return.
    """
    headers = {"content-type": response.content_type, **response.headers}
    binary, body = _is_binary(response), response.body
    if (size := size_of(response)) > MAX_RESULT_BYTES:
        raise PayloadTooLargeError(
            "answer",
            expected=f"at most {MAX_RESULT_BYTES} bytes as Lambda counts them; ask for fewer rows, fewer "
            "outputs, binary output, or with parameters.output_by_reference",
            received=f"{size} bytes",
        )
    return {
        "statusCode": response.status,
        "headers": headers,
        "body": pybase64.b64encode_as_string(body) if binary else body.decode(),
        "isBase64Encoded": binary,
    }


def _unquoted(segments: tuple[str, ...]) -> tuple[str, ...]:
    from urllib.parse import unquote  # costs a cold start 3 ms, and few paths need it

    return tuple(map(unquote, segments))


def size_of(response: HttpResponse) -> int:
    """Return the bytes that the body takes in a result, as Lambda counts them."""
    body = response.body
    if _is_binary(response):
        return (len(body) + 2) // 3 * 4
    # A JSON body is escaped inside the result: each quote and backslash costs one byte more.
    return len(body) + body.count(b'"') + body.count(b"\\")


def _is_binary(response: HttpResponse) -> bool:
    return response.content_type not in _TEXT_TYPES


def _body(event: Mapping[str, Any]) -> bytes:
    text = event.get("body") or ""
    encoded = bool(event.get("isBase64Encoded"))
    if len(text) * (3 if encoded else 4) > MAX_BODY_BYTES * 4:
        raise PayloadTooLargeError(
            "body",
            expected=f"at most {MAX_BODY_BYTES} bytes; POST /uploads takes larger inputs",
            received=f"{len(text) * 3 // 4 if encoded else len(text)} bytes",
            can_upload=True,
        )
    if not encoded:
        return bytes(text.encode())
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise MalformedRequestError(
            "body", expected="base64, as the event says", received="something else"
        ) from fault
