"""What a handler returns to stream its answer, and the bytes that API Gateway reads the beginning from.

The beginning is the prelude: status and headers as JSON, then eight zero bytes; what follows is the body.

Source: API Gateway Developer Guide, "Set up a Lambda proxy integration with payload response streaming".
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

__all__ = ["MAX_PRELUDE_BYTES", "SEPARATOR", "StreamedResponse", "as_streamed", "prelude", "proxy_result"]

SEPARATOR = b"\0" * 8
# API Gateway looks for the separator so far, in bytes. Source: as above.
MAX_PRELUDE_BYTES = 16 * 1024


def _nothing(_fault: Exception) -> bytes:
    return b""


class StreamedResponse(NamedTuple):
    """An answer whose body is made while it is sent.

    Attributes:
        status: HTTP status. It has left when the first chunk is there, so what may still be refused is
            refused before that: by the handler, or by `chunks` raising before its first item.
        headers: Header values by name; a list where a header is repeated.
        chunks: The body; each item leaves at once, empty ones do not. If it has `close()`, as generators do,
            that is called when nobody wants the rest: after the item that is being made, never within it.
        on_error: What the caller is told, as the last chunk, if `chunks` raises after its first item: an
            event of the stream's protocol. `TimeoutError` where the function's time is over. "" by default.
    """

    status: int
    headers: Mapping[str, str | list[str]]
    chunks: Iterable[bytes]
    on_error: Callable[[Exception], bytes] = _nothing


def prelude(response: StreamedResponse) -> bytes:
    """Return what comes before the body, the separator included.

    Raises:
        ValueError: It is over `MAX_PRELUDE_BYTES`, or a header's value is no text.
    """
    import orjson  # not at the top: every function's start imports this module, before its own

    single: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for name, value in response.headers.items():
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values):
            raise ValueError(f"header {name}: expected text, received {value!r}"[:200])
        if isinstance(value, list):
            repeated[name] = value
        else:
            single[name] = value
    head = {"statusCode": response.status, "headers": single}
    if repeated:
        head["multiValueHeaders"] = repeated
    try:
        begun = orjson.dumps(head) + SEPARATOR
    except orjson.JSONEncodeError as fault:
        raise ValueError(f"status and headers: expected text that can be sent: {fault}") from fault
    if len(begun) > MAX_PRELUDE_BYTES:
        raise ValueError(f"status and headers: expected at most {MAX_PRELUDE_BYTES} bytes, got {len(begun)}")
    return begun


def as_streamed(result: Any) -> StreamedResponse | None:
    """Return a proxy result, which is whole, as an answer of one chunk; None for any other value.

    A method of the API whose `ResponseTransferMode` is `RESPONSE_STREAM` takes no other form.

    Raises:
        ValueError: It has a `statusCode`, but its body is not what it says.
    """
    if not isinstance(result, Mapping) or not isinstance(result.get("statusCode"), int):
        return None
    body = result.get("body") or ""
    if not isinstance(body, str):
        raise ValueError(f"body: expected text, received {type(body).__name__}")
    raw = binascii.a2b_base64(body, strict_mode=True) if result.get("isBase64Encoded") else body.encode()
    headers = {name: str(value) for name, value in (result.get("headers") or {}).items()}
    repeated = {name: [*values] for name, values in (result.get("multiValueHeaders") or {}).items()}
    lowered = {name.lower() for name in repeated}
    merged = {name: value for name, value in headers.items() if name.lower() not in lowered}
    return StreamedResponse(result["statusCode"], {**merged, **repeated}, (raw,))


def proxy_result(payload: bytes) -> dict[str, Any] | None:
    """Return the proxy result in what Lambda's Invoke gave of a streamed answer; None for any other payload.

    Invoke gives such an answer whole, prelude and body, when it has ended.
    """
    import orjson  # as in `prelude`

    head, found, _ = payload[:MAX_PRELUDE_BYTES].partition(SEPARATOR)
    if not found:
        return None
    try:
        read = orjson.loads(head)
    except ValueError:
        return None
    body = payload[len(head) + len(SEPARATOR) :]
    text = binascii.b2a_base64(body, newline=False).decode()
    return {**read, "body": text, "isBase64Encoded": True}
