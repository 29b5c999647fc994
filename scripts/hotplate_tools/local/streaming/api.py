"""Lambda's Runtime API for one process, which forwards an answer's chunks as they come.

AWS's Runtime Interface Emulator takes a streamed answer, and gives it on when it is whole; so does the local
cloud. Here each chunk is handed on when it is there, and who reads them can hang up.

Rules kept: one event at a time; an answer that breaks off is told from one that ended; a process that hangs
up while it waits loses no event.

Not done: limits of size and bandwidth, several processes in one environment, snapshots
(`hotplate_tools.local.runtime_api` has those two).

Source: AWS Lambda Developer Guide, "Using the Lambda runtime API", "Building a custom runtime".
"""

from __future__ import annotations

import base64
import binascii
import json
import queue
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hotplate_tools.local.streaming.call import Call, Ended

__all__ = ["RuntimeApi"]

_ROOT = "/2018-06-01/runtime/"
_POLL_S = 0.05


class RuntimeApi:
    """The API of one process, on a free port of 127.0.0.1 until it is closed.

    Attributes:
        start_error: What the process said when it could not be started; None if it did not.
    """

    def __init__(self) -> None:
        """Listen."""
        self.start_error: Mapping[str, Any] | None = None
        self._calls: queue.Queue[Call] = queue.Queue()
        self._given: dict[str, Call] = {}
        self._idle = threading.Event()
        self._is_closed = False
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """What `AWS_LAMBDA_RUNTIME_API` has to be."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._is_closed = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_idle(self, timeout_s: float) -> bool:
        """Return whether, within that time, the process asks for an event."""
        return self._idle.wait(max(0.0, timeout_s))

    def give(self, call: Call, timeout_s: float) -> None:
        """Give the process an event, which it has so many seconds for."""
        call.deadline = time.monotonic() + timeout_s
        self._given[call.id] = call
        self._idle.clear()
        self._calls.put(call)

    def take(self, connection: socket.socket) -> Call | None:
        """Wait for an event for the process at the other end; None when there will be none."""
        self._idle.set()
        while not self._is_closed and not _is_closed(connection):
            with suppress(queue.Empty):
                return self._calls.get(timeout=_POLL_S)
        return None

    def given(self, call_id: str) -> Call | None:
        """Return the call of that id, if its answer has not ended."""
        return self._given.get(call_id)

    def end(self, call: Call, ended: Ended) -> None:
        """Note the end of an answer."""
        if self._given.pop(call.id, None) is not None:
            call.put(ended)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: RuntimeApi) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """A process that ended hangs up; its call is told."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path != f"{_ROOT}invocation/next":
            self._answer(404, b"")
            return
        call = self.server.api.take(self.connection)
        if call is None:
            self.close_connection = True
            return
        deadline_ms = int((time.time() + call.deadline - time.monotonic()) * 1000)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": call.id,
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": call.arn,
            **({"Lambda-Runtime-Trace-Id": call.trace_id} if call.trace_id else {}),
            **({"Lambda-Runtime-Aws-Tenant-Id": call.tenant} if call.tenant else {}),
        }
        self._answer(200, call.event, headers)

    def do_POST(self) -> None:
        api, (kind, _, rest) = self.server.api, self.path.removeprefix(_ROOT).partition("/")
        if kind != "invocation":
            api.start_error = _record(self._body())
            self._answer(202, b"")
            return
        call_id, _, outcome = rest.partition("/")
        call = api.given(call_id)
        if call is None:
            self.close_connection = True
            self._answer(400, b'{"errorType":"InvalidRequestID"}')
            return
        if self.headers.get("Lambda-Runtime-Function-Response-Mode") == "streaming":
            self._stream(call)
            return
        body = self._body()
        if outcome == "error":
            api.end(call, Ended(_record(body)))
        else:
            call.put(body)
            api.end(call, Ended())
        self._answer(202, b"")

    def _stream(self, call: Call) -> None:
        call.begin(self.connection)
        ended = Ended(is_broken=True)
        try:
            while size := int(self._line(), 16):
                call.put(self.rfile.read(size))
                self._line()
            trailers = dict(self._trailers())
            ended = Ended(_trailing_error(trailers))
        except (OSError, ValueError):
            self.close_connection = True
        finally:
            self.server.api.end(call, ended)
        if not ended.is_broken:
            self._answer(202, b"")

    def _line(self) -> bytes:
        line = self.rfile.readline(65536)
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the runtime hung up")
        return line.strip()

    def _trailers(self) -> list[tuple[str, str]]:
        found = []
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            found.append((name.strip().lower(), value.strip()))
        return found

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def _record(body: bytes) -> Mapping[str, Any]:
    try:
        read = json.loads(body)
    except ValueError:
        read = None
    return read if isinstance(read, dict) else {"errorType": "Runtime.Unknown", "errorMessage": ""}


def _trailing_error(trailers: Mapping[str, str]) -> Mapping[str, Any] | None:
    kind = trailers.get("lambda-runtime-function-error-type")
    if kind is None:
        return None
    try:
        body = base64.b64decode(trailers.get("lambda-runtime-function-error-body", ""), validate=True)
    except binascii.Error:
        body = b""
    return {"errorMessage": "", **_record(body), "errorType": kind}


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
