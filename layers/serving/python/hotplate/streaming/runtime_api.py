"""Lambda's Runtime API as a runtime speaks it: the next event, its answer whole or in chunks, its errors.

Rules kept: one connection, which is kept; HTTP/1.1 by hand, because `http.client` costs a cold start what all
of this does not; before each chunk it is looked whether anybody still listens, so that a stream nobody wants
ends with the item that was being made; a small whole answer takes the question for the next event along.

Not done: several events at once, TLS (the API is this machine's own).

Source: AWS Lambda Developer Guide, "Using the Lambda runtime API" and "Building a custom runtime", section
"Implementing response streaming in a custom runtime".
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson

from hotplate.streaming.connection import Connection, ProtocolError

__all__ = ["CallerGoneError", "Invocation", "RuntimeApi", "error_record"]

_ROOT = "/2018-06-01/runtime"
_STREAM_TYPE = "application/vnd.awslambda.http-integration-response"
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
_NEXT = "/invocation/next"
# Longest answer that takes the next question along, in bytes. Ours: nobody sees what that spares of a larger
# one, and one that may be refused for its length, behind which the API hangs up, goes alone.
_MAX_SMALL_BYTES = 64 * 1024
# Go's server, which Lambda's is, reads trailers of 4 KiB in all. Source: net/http, `body.readTrailer`.
_MAX_TRAILER_BYTES = 3 * 1024
_MAX_TRAILER_MESSAGE = 200


class CallerGoneError(Exception):
    """Nobody listens to this answer any more."""


class Invocation(NamedTuple):
    """One event.

    Attributes:
        id: Lambda's id of the request.
        event: JSON as it came.
        deadline_ms: When the function is stopped, in ms since 1970.
        arn: Of the function as it was invoked.
        headers: All that came with it, by lower-case name.
    """

    id: str
    event: bytes
    deadline_ms: int
    arn: str
    headers: Mapping[str, str]


def error_record(fault: BaseException, request_id: str = "") -> dict[str, Any]:
    """Return a fault as Lambda tells it to callers."""
    frames, trace = [], fault.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}\n')
        trace = trace.tb_next
    record = {
        "errorMessage": str(fault),
        "errorType": type(fault).__name__,
        "stackTrace": frames,
    }
    return {**record, "requestId": request_id} if request_id else record


class RuntimeApi:
    """A client of the API at `address`, `host:port`; connects when first used."""

    def __init__(self, address: str) -> None:
        """Remember where the API is."""
        self._host, self._connection = address, Connection(address)
        self._is_next_due = False

    def next(self) -> Invocation:
        """Wait for the next event, which `answer` may have asked for.

        Raises:
            OSError, ProtocolError: The API is not to be had.
        """
        # Where the API hung up behind an answer, it never took the question.
        if not (self._is_next_due and self._connection.is_answered()):
            self._connection.send(self._request("GET", _NEXT))
        self._is_next_due = False
        headers, event = self._connection.read_answer()
        try:
            return Invocation(
                headers["lambda-runtime-aws-request-id"],
                event,
                int(headers["lambda-runtime-deadline-ms"]),
                headers["lambda-runtime-invoked-function-arn"],
                headers,
            )
        except (KeyError, ValueError) as fault:
            raise ProtocolError(f"an event without {fault}") from fault

    def answer(self, request_id: str, body: bytes) -> None:
        """Send a whole answer, JSON; `next` comes after it.

        Raises:
            OSError, ProtocolError: It was not taken.
        """
        request = self._request("POST", f"/invocation/{request_id}/response", body)
        self._is_next_due = len(body) <= _MAX_SMALL_BYTES
        self._connection.send(request + self._request("GET", _NEXT) if self._is_next_due else request)
        self._connection.read_answer()

    def fail(self, request_id: str, fault: BaseException) -> None:
        """Say that the handler failed, before any of its answer was sent.

        Raises:
            OSError, ProtocolError: It was not taken.
        """
        record = error_record(fault, request_id)
        self._ask("POST", f"/invocation/{request_id}/error", _written(record), record["errorType"])

    def fail_start(self, fault: BaseException, *, phase: str = "init") -> None:
        """Say that the function cannot be started, or no snapshot be taken or restored.

        Args:
            fault: Why.
            phase: `init`, `snapshot` or `restore`.

        Raises:
            OSError, ProtocolError: It was not taken.
        """
        record = error_record(fault)
        kind = {"init": "Init", "snapshot": "BeforeSnapshot", "restore": "AfterRestore"}[phase]
        kind = f"Runtime.{kind}Error"
        path = "restore" if phase == "restore" else "init"
        self._ask("POST", f"/{path}/error", _written(record), kind)

    def wait_restored(self) -> None:
        """Have the snapshot taken; return in an environment that was made from it.

        Raises:
            OSError, ProtocolError: The API is not to be had.
        """
        self._ask("GET", "/restore/next")

    def stream(self, request_id: str) -> Stream:
        """Begin an answer in chunks; a context manager.

        Raises:
            OSError: The API is not to be had.
        """
        self._connection.send(
            self._head("POST", f"/invocation/{request_id}/response")
            + f"Content-Type: {_STREAM_TYPE}\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
            "Transfer-Encoding: chunked\r\n"
            f"Trailer: {_ERROR_TYPE}, {_ERROR_BODY}\r\n\r\n".encode()
        )
        return Stream(self._connection)

    def disconnect(self) -> None:
        """End the connection; the next call opens another."""
        self._connection.close()

    def _ask(
        self, method: str, path: str, body: bytes = b"", error_type: str = ""
    ) -> tuple[dict[str, str], bytes]:
        self._connection.send(self._request(method, path, body, error_type))
        return self._connection.read_answer()

    def _request(self, method: str, path: str, body: bytes = b"", error_type: str = "") -> bytes:
        head = (
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if method == "POST" else ""
        )
        if error_type:
            head += f"{_ERROR_TYPE}: {error_type}\r\n"
        return self._head(method, path) + head.encode() + b"\r\n" + body

    def _head(self, method: str, path: str) -> bytes:
        return f"{method} {_ROOT}{path} HTTP/1.1\r\nHost: {self._host}\r\n".encode()


class Stream:
    """An answer that is being sent. What ends without `end` or `fail` is broken off."""

    def __init__(self, connection: Connection) -> None:
        """Send on `connection`, by which the request's head was sent."""
        self._connection, self._is_over = connection, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up where the end was not sent, so that nobody takes a part for the whole."""
        if not self._is_over:
            self._connection.close()

    def send(self, chunk: bytes) -> None:
        """Send a chunk; nothing is sent for an empty one.

        Raises:
            CallerGoneError: Nobody listens.
        """
        if self._connection.has_news():  # hung up, or answered already, as is done where no more is wanted
            raise CallerGoneError
        if chunk:
            self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    def end(self) -> None:
        """Say that this was all.

        Raises:
            CallerGoneError: Nobody listens.
            ProtocolError: The answer was not taken.
        """
        self._finish(b"0\r\n\r\n")

    def fail(self, fault: BaseException, request_id: str) -> None:
        """Say that the answer ends here because of `fault`.

        Raises:
            CallerGoneError, ProtocolError: As above.
        """
        record = error_record(fault, request_id)
        trailers = f"{_ERROR_TYPE}: {record['errorType']}\r\n{_ERROR_BODY}: {_trailing(record)}\r\n"
        self._finish(f"0\r\n{trailers}\r\n".encode())

    def _finish(self, data: bytes) -> None:
        self._write(data)
        try:
            self._connection.read_answer()
        except OSError as fault:
            raise CallerGoneError from fault
        self._is_over = True

    def _write(self, data: bytes) -> None:
        try:
            self._connection.send(data, is_first=False)
        except OSError as fault:
            raise CallerGoneError from fault


def _trailing(record: dict[str, Any]) -> str:
    """Return the record as a trailer holds it, cut where it is too long: the log has all of it."""
    frames = record["stackTrace"]
    short = {**record, "errorMessage": record["errorMessage"][:_MAX_TRAILER_MESSAGE]}
    for begin in range(len(frames) + 1):
        text = _written({**short, "stackTrace": frames[begin:]})
        if len(text) * 4 // 3 <= _MAX_TRAILER_BYTES:
            break
    return binascii.b2a_base64(text, newline=False).decode()


def _written(record: dict[str, Any]) -> bytes:
    """Return the record as JSON; what no encoding has (lone surrogates) is escaped."""
    try:
        return orjson.dumps(record)
    except orjson.JSONEncodeError:
        import json  # milliseconds, which only such words cost

        return json.dumps(record).encode()
