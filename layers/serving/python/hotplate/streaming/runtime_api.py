"""Lambda's Runtime API as a runtime speaks it: the next event, its answer whole or in chunks, its errors.

Rules kept: one connection, which is kept; HTTP/1.1 by hand, because `http.client` costs a cold start what all
of this does not; before each chunk it is looked whether anybody still listens, so that a stream nobody wants
ends with the item that was being made.

Not done: several events at once, TLS (the API is this machine's own).

Source: AWS Lambda Developer Guide, "Using the Lambda runtime API" and "Building a custom runtime", section
"Implementing response streaming in a custom runtime".
"""

from __future__ import annotations

import binascii
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

__all__ = ["CallerGoneError", "Invocation", "RuntimeApi", "RuntimeApiError", "error_record"]

_ROOT = "/2018-06-01/runtime"
_STREAM_TYPE = "application/vnd.awslambda.http-integration-response"
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
_MAX_LINE_BYTES = 65536
# Errors travel in a trailer, which proxies bound; a stack of more frames is cut.
_MAX_FRAMES = 20


class RuntimeApiError(Exception):
    """The API said something that it does not say."""


class CallerGoneError(Exception):
    """Nobody listens to this answer any more."""


@dataclass(frozen=True, slots=True)
class Invocation:
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
        "stackTrace": frames[-_MAX_FRAMES:],
    }
    return {**record, "requestId": request_id} if request_id else record


class RuntimeApi:
    """A client of the API at `address`, `host:port`; connects when first used."""

    def __init__(self, address: str) -> None:
        """Remember where the API is."""
        host, _, port = address.rpartition(":")
        self._address, self._host = (host, int(port)), address
        self._socket: socket.socket | None = None
        self._answers: IO[bytes] | None = None

    def next(self) -> Invocation:
        """Wait for the next event.

        Raises:
            OSError, RuntimeApiError: The API is not to be had.
        """
        headers, event = self._ask("GET", "/invocation/next")
        try:
            return Invocation(
                headers["lambda-runtime-aws-request-id"],
                event,
                int(headers["lambda-runtime-deadline-ms"]),
                headers["lambda-runtime-invoked-function-arn"],
                headers,
            )
        except (KeyError, ValueError) as fault:
            raise RuntimeApiError(f"an event without {fault}") from fault

    def answer(self, request_id: str, body: bytes) -> None:
        """Send a whole answer, JSON.

        Raises:
            OSError, RuntimeApiError: It was not taken.
        """
        self._ask("POST", f"/invocation/{request_id}/response", body)

    def fail(self, request_id: str, fault: BaseException) -> None:
        """Say that the handler failed, before any of its answer was sent.

        Raises:
            OSError, RuntimeApiError: It was not taken.
        """
        record = error_record(fault, request_id)
        self._ask("POST", f"/invocation/{request_id}/error", json.dumps(record).encode(), record["errorType"])

    def fail_start(self, fault: BaseException, *, phase: str = "init") -> None:
        """Say that the function cannot be started, or, with `restore`, not be restored.

        Raises:
            OSError, RuntimeApiError: It was not taken.
        """
        record = error_record(fault)
        kind = f"Runtime.{'Init' if phase == 'init' else 'AfterRestore'}Error"
        self._ask("POST", f"/{phase}/error", json.dumps(record).encode(), kind)

    def wait_restored(self) -> None:
        """Have the snapshot taken; return in an environment that was made from it.

        Raises:
            OSError, RuntimeApiError: The API is not to be had.
        """
        self._ask("GET", "/restore/next")

    def stream(self, request_id: str) -> Stream:
        """Begin an answer in chunks; a context manager.

        Raises:
            OSError: The API is not to be had.
        """
        self._send(
            self._head("POST", f"/invocation/{request_id}/response")
            + f"Content-Type: {_STREAM_TYPE}\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
            "Transfer-Encoding: chunked\r\n"
            f"Trailer: {_ERROR_TYPE}, {_ERROR_BODY}\r\n\r\n".encode()
        )
        assert self._socket  # noqa: S101 - it was just used
        return Stream(self, self._socket)

    def read_answer(self) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the answer that is due.

        Raises:
            OSError, RuntimeApiError: There is none, or it is no success.
        """
        status = self._line().split(maxsplit=2)
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = (
            self._chunks()
            if "chunked" in headers.get("transfer-encoding", "")
            else self._exactly(int(headers.get("content-length", 0)))
        )
        if headers.get("connection", "").lower() == "close":
            self.disconnect()
        if len(status) < 2 or not status[1].startswith("2"):
            raise RuntimeApiError(f"the Runtime API answered {' '.join(status)}: {body[:300]!r}")
        return headers, body

    def disconnect(self) -> None:
        """End the connection; the next call opens another."""
        if self._socket and self._answers:
            self._answers.close()
            self._socket.close()
        self._socket = self._answers = None

    def _ask(
        self, method: str, path: str, body: bytes = b"", error_type: str = ""
    ) -> tuple[dict[str, str], bytes]:
        head = (
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if method == "POST" else ""
        )
        if error_type:
            head += f"{_ERROR_TYPE}: {error_type}\r\n"
        self._send(self._head(method, path) + head.encode() + b"\r\n" + body)
        try:
            return self.read_answer()
        except OSError:
            self.disconnect()
            raise

    def _head(self, method: str, path: str) -> bytes:
        return f"{method} {_ROOT}{path} HTTP/1.1\r\nHost: {self._host}\r\n".encode()

    def _send(self, data: bytes) -> None:
        if self._socket is not None and _has_news(self._socket):
            self.disconnect()  # nothing is due, so it was closed meanwhile
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
            # Chunks are small and each is wanted at once.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._answers = self._socket.makefile("rb")
        try:
            self._socket.sendall(data)
        except OSError:
            self.disconnect()
            raise

    def _line(self) -> str:
        assert self._answers  # noqa: S101 - something was just sent
        line = self._answers.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the Runtime API hung up")
        return line.decode("latin-1").rstrip("\r\n")

    def _exactly(self, length: int) -> bytes:
        assert self._answers  # noqa: S101 - as above
        body = self._answers.read(length)
        if len(body) < length:
            raise ConnectionResetError("the Runtime API hung up")
        return body

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self._line().split(";")[0], 16):
            parts.append(self._exactly(size))
            self._line()
        while self._line():
            pass  # trailers
        return b"".join(parts)


class Stream:
    """An answer that is being sent. What ends without `end` or `fail` is broken off."""

    def __init__(self, api: RuntimeApi, connection: socket.socket) -> None:
        """Send on `connection`, whose head was sent."""
        self._api, self._connection, self._is_over = api, connection, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up where the end was not sent, so that nobody takes a part for the whole."""
        if not self._is_over:
            self._api.disconnect()

    def send(self, chunk: bytes) -> None:
        """Send a chunk; nothing is sent for an empty one.

        Raises:
            CallerGoneError: Nobody listens.
        """
        if self.is_closed():
            raise CallerGoneError
        if chunk:
            self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    def is_closed(self) -> bool:
        """Return whether the other side hung up or answered already, which it does when it wants no more."""
        return _has_news(self._connection)

    def end(self) -> None:
        """Say that this was all.

        Raises:
            CallerGoneError: Nobody listens.
            RuntimeApiError: The answer was not taken.
        """
        self._finish(b"0\r\n\r\n")

    def fail(self, fault: BaseException, request_id: str) -> None:
        """Say that the answer ends here because of `fault`.

        Raises:
            CallerGoneError, RuntimeApiError: As above.
        """
        record = error_record(fault, request_id)
        body = binascii.b2a_base64(json.dumps(record).encode(), newline=False).decode()
        self._finish(f"0\r\n{_ERROR_TYPE}: {record['errorType']}\r\n{_ERROR_BODY}: {body}\r\n\r\n".encode())

    def _finish(self, data: bytes) -> None:
        self._write(data)
        try:
            self._api.read_answer()
        except OSError as fault:
            raise CallerGoneError from fault
        self._is_over = True

    def _write(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError as fault:
            raise CallerGoneError from fault


def _has_news(connection: socket.socket) -> bool:
    """Return whether something came by the connection, or it was closed, without waiting."""
    try:
        connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
