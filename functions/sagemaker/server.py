"""HTTP for one container: `GET /ping` and `POST /invocations`, a thread a connection.

Behind SageMaker's own proxy, which is its only client; nothing else reaches the port.

Rules kept:

1. `/ping` is answered while every worker is busy: the bound on work is behind this, in `Answering`.
2. A body is no longer than the limit before the first byte of it is kept.
3. What was begun is answered: after SIGTERM no connection is accepted, idle ones end, and busy ones end with
   their answer, for at most `DRAIN_S`.

Source: Amazon SageMaker Developer Guide, "Use your own inference code with hosting services"; RFC 9112.
"""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Protocol

from functions.sagemaker.bodies import read_body
from hotplate.errors import MalformedRequestError, PayloadTooLargeError, UnknownPathError
from hotplate.http.answers import answer_error
from hotplate.http.event import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DRAIN_S", "InvocationServer", "Service"]

# Seconds that begun requests have after SIGTERM. Source: as above; SIGKILL follows after 30.
DRAIN_S = 27.0
# Longest silence of a client in the middle of a request, or between two, in seconds. Ours.
SILENCE_S = 65.0


class Service(Protocol):
    """What answers."""

    def ping(self) -> HttpResponse:
        """Return whether requests may come."""
        ...

    def invoke(self, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """Return the answer to an invocation."""
        ...


class InvocationServer(ThreadingHTTPServer):
    """The server. `serve_forever` serves until `drain` is called from another thread."""

    daemon_threads = True  # how long the process waits for them is said by `drain`
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], service: Service, max_body_bytes: int) -> None:
        self.service = service
        self.max_body_bytes = max_body_bytes
        self.is_draining = False
        self._changed = threading.Condition()
        self._connections: dict[socket.socket, bool] = {}  # whether it is busy
        super().__init__(address, _Handler)

    def drain(self, within_s: float = DRAIN_S) -> bool:
        """Stop accepting, end what is idle, wait for what is busy; return whether all was answered."""
        with self._changed:
            self.is_draining = True
            for connection, is_busy in self._connections.items():
                if not is_busy:
                    _stop_reading(connection)
        self.shutdown()
        self.socket.close()
        with self._changed:
            return self._changed.wait_for(lambda: not self._connections, within_s)

    def mark(self, connection: socket.socket, *, busy: bool | None) -> None:
        """Take down that a connection is busy or idle, or that it has ended (None)."""
        with self._changed:
            if busy is None:
                self._connections.pop(connection, None)
            else:
                self._connections[connection] = busy
                if not busy and self.is_draining:
                    _stop_reading(connection)
            self._changed.notify_all()

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that went away; every other fault has an answer before it comes here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: InvocationServer
    timeout = SILENCE_S
    wbufsize = -1  # an answer leaves in one piece
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.mark(self.connection, busy=False)

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.server.mark(self.connection, busy=None)

    def parse_request(self) -> bool:
        self.server.mark(self.connection, busy=True)
        return super().parse_request()

    def handle_one_request(self) -> None:
        super().handle_one_request()
        if not self.close_connection:
            self.server.mark(self.connection, busy=False)

    def version_string(self) -> str:
        return "hotplate"

    def log_message(self, *_: object) -> None:
        """Say nothing: each invocation has its usage line."""

    def do_GET(self) -> None:
        if self.path == "/ping":
            self._answer(self.server.service.ping())
        else:
            self._refuse(self._unknown())

    def do_POST(self) -> None:
        if self.path != "/invocations":
            self._refuse(self._unknown())
            return
        try:
            body = read_body(self.rfile, self.headers, self.server.max_body_bytes)
        except (MalformedRequestError, PayloadTooLargeError) as fault:
            self._refuse(fault)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._answer(self.server.service.invoke(headers, body))

    def _refuse(self, fault: Exception) -> None:
        """Answer a request whose body nobody reads; the connection ends with it."""
        self.close_connection = True
        request = HttpRequest(self.command, ("invocations",), {}, b"")
        self._answer(answer_error(fault, request, "-"))
        self.wfile.flush()
        _hear_out(self.connection, self.server.max_body_bytes)

    def _unknown(self) -> UnknownPathError:
        return UnknownPathError(
            "path", expected="GET /ping or POST /invocations", received=f"{self.command} {self.path}"[:200]
        )

    def _answer(self, response: HttpResponse) -> None:
        if self.server.is_draining:
            self.close_connection = True
        self.send_response(response.status)
        self.send_header("content-type", response.content_type)
        self.send_header("content-length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(response.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no HTTP in our words; called by the standard library."""
        self.close_connection = True
        text = message or explain or http.client.responses.get(code, "")
        fault = MalformedRequestError("request", expected="HTTP/1.1", received=text[:200])
        answer = answer_error(fault, None, "-")
        # Nothing of the request may be known yet.
        self.requestline, self.request_version, self.command = "", "HTTP/1.1", ""
        self._answer(HttpResponse(code if code < 500 else 400, answer.body, answer.headers))


def _stop_reading(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RD)


def _hear_out(connection: socket.socket, at_most: int) -> None:
    """Take what the client still sends: left unread it would reset the connection, and the answer with it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(2.0)
        left = 4 * at_most
        while left > 0 and (taken := len(connection.recv(65536))):
            left -= taken
