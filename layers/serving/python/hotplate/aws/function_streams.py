"""Calls another Lambda function and gives its answer on while that is made.

Lambda sends a message for each part that the function has sent, and one at the end that says how it ended. An
answer of HTTP begins with status and headers (`hotplate.streaming.response`). One function is called at a
time: a call ends the one before it.

Rules kept: those of `hotplate.aws.lambda_client`, and: an answer is whole only where Lambda says that it is;
who wants no more hangs up.

Source: AWS Lambda API Reference, "InvokeWithResponseStream", "InvokeWithResponseStreamResponseEvent".
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson

from hotplate.aws.event_stream import DamagedStreamError, messages
from hotplate.aws.lambda_client import LambdaClient, ended
from hotplate.errors import StepError, StepUnavailableError
from hotplate.limits import LAMBDA_PAYLOAD_BYTES
from hotplate.streaming.response import MAX_PRELUDE_BYTES, SEPARATOR, as_streamed

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Generator, Iterator

    from hotplate.aws.event_stream import Message
    from hotplate.aws.sigv4 import Credentials

__all__ = ["FunctionStreams", "StreamedAnswer"]

_NO_HTTP = "its function answered something else than HTTP"
# A socket takes no wait of none, in seconds.
_LEAST_S = 0.001
_PATH = "/2021-11-15/functions/{}/response-streaming-invocations"


class FunctionStreams:
    """Calls functions, one at a time."""

    def __init__(self, *, region: str, endpoint: str | None, credentials: Callable[[], Credentials]) -> None:
        """Connect when first used; arguments as those of `LambdaClient`."""
        self._client = LambdaClient(region=region, endpoint=endpoint, credentials=credentials)
        # What is being given; nothing between calls.
        self._open: http.client.HTTPResponse | None = None

    def begin(
        self, function: str, payload: bytes, tenant: str | None = None, *, timeout_s: float
    ) -> StreamedAnswer:
        """Return a function's answer of HTTP when its status and headers are there.

        Args:
            function: Its name, with `:ALIAS` behind it for another than the latest.
            payload: JSON.
            tenant: Whose environment is to run it; for functions that isolate tenants, and no other.
            timeout_s: Longest wait for them.

        Raises:
            StepUnavailableError: Throttled, Lambda is not to be had, or the answer broke off.
            StepTimeoutError: Nothing in `timeout_s`, or the function ran past its own time.
            StepError: Not allowed, not there, the function ended with an error, or answered something else.
        """
        until = time.monotonic() + timeout_s
        self._hang_up(self._open)
        self._open = answer = self._client.begin(_PATH, function, payload, tenant, wait_s=timeout_s)
        parts = self._parts(answer)
        data = bytearray()
        self._wait_until(until)
        for part in parts:
            data += part
            self._wait_until(until)
            ends = data.find(SEPARATOR, 0, MAX_PRELUDE_BYTES)
            if ends >= 0:
                status, sent = _head(bytes(data[:ends]))
                return StreamedAnswer(self, status, sent, bytes(data[ends + len(SEPARATOR) :]), parts)
            if len(data) > LAMBDA_PAYLOAD_BYTES:
                raise StepError(_NO_HTTP)
        return _of_result(self, bytes(data))

    def close(self) -> None:
        """End the connection, and whatever is being answered."""
        self._open = None
        self._client.close()

    def wait(self, seconds: float) -> None:
        """Set how long the next part may take."""
        self._client.wait(seconds)

    def _wait_until(self, end: float) -> None:
        self._client.wait(max(end - time.monotonic(), _LEAST_S))

    def _hang_up(self, answer: http.client.HTTPResponse | None) -> None:
        if answer is not None and answer is self._open:
            self.close()

    def _parts(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        """Yield what the function sent; the end of the stream is the end of its answer."""
        is_whole = False
        try:
            for message in self._messages(answer):
                if message.headers.get(":message-type") != "event":
                    raise _refused(message)
                match message.headers.get(":event-type"):
                    case "PayloadChunk":
                        yield message.payload
                    case "InvokeComplete":
                        told, is_whole = _object(message.payload), True
                        if told.get("ErrorCode"):
                            raise _ended(str(told["ErrorCode"]), str(told.get("ErrorDetails") or ""))
            if not is_whole:
                raise StepUnavailableError("its function's answer broke off")
            self._open = None  # so the connection can be used again
        finally:
            self._hang_up(answer)

    def _messages(self, answer: http.client.HTTPResponse) -> Iterator[Message]:
        with self._client.reading():
            try:
                yield from messages(answer.read)
            except DamagedStreamError as fault:
                raise StepUnavailableError("its function's answer broke off") from fault


class StreamedAnswer:
    """An answer of HTTP that has begun.

    Attributes:
        status: Its status.
        headers: By name; a list where one is repeated.
    """

    def __init__(
        self,
        streams: FunctionStreams,
        status: int,
        headers: dict[str, str | list[str]],
        first: bytes,
        rest: Iterator[bytes],
    ) -> None:
        """Take what has come, and what gives the rest."""
        self.status, self.headers = status, headers
        self._streams, self._first, self._rest = streams, first, rest

    def chunks(self, left_s: Callable[[], float]) -> Generator[bytes]:
        """Yield the body, each part when it is there; to be asked once. Who closes this hangs up.

        Args:
            left_s: Says how long the next part may take, in seconds.

        Raises:
            StepError: The function ended with an error, or its answer broke off.
            StepTimeoutError: A part did not come in time, or the function ran past its time.
        """
        try:
            if self._first:
                yield self._first
            while True:
                self._streams.wait(max(left_s(), _LEAST_S))
                part = next(self._rest, None)
                if part is None:
                    return
                yield part
        finally:
            self.close()

    def close(self) -> None:
        """Hang up, unless the answer has ended."""
        end = getattr(self._rest, "close", None)
        if end is not None:
            end()


def _head(data: bytes) -> tuple[int, dict[str, str | list[str]]]:
    read = _object(data)
    if not isinstance(read.get("statusCode"), int):
        raise StepError(_NO_HTTP)
    return read["statusCode"], {**(read.get("headers") or {}), **(read.get("multiValueHeaders") or {})}


def _of_result(streams: FunctionStreams, data: bytes) -> StreamedAnswer:
    """Return the answer of a function that does not stream."""
    try:
        streamed = as_streamed(_object(data))
    except ValueError as fault:
        raise StepError(_NO_HTTP) from fault
    if streamed is None:
        raise StepError(_NO_HTTP)
    return StreamedAnswer(
        streams, streamed.status, dict(streamed.headers), b"".join(streamed.chunks), iter(())
    )


def _ended(code: str, details: str) -> StepError:
    """Return what became of a function that ended with an error.

    Its details are the error as the runtime told it, where that is JSON.
    """
    told = _object(details.encode())
    kind = code if code == "Sandbox.Timedout" else str(told.get("errorType") or code)
    return ended(kind, str(told.get("errorMessage") or details))


def _refused(message: Message) -> StepError:
    kind = message.headers.get(":exception-type") or message.headers.get(":error-code") or ""
    if kind == "TooManyRequestsException":
        return StepUnavailableError("its function is busy")
    return ended(kind, "")


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
