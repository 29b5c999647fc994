"""Lambda's Invoke and InvokeWithResponseStream on a free port, for who calls functions."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.event_streams import completed, part

__all__ = ["LambdaApi", "Stream", "lambda_api", "streamed"]

OK = {"statusCode": 200, "headers": {}, "body": "{}", "isBase64Encoded": False}


@dataclass(frozen=True)
class Stream:
    """What InvokeWithResponseStream answers.

    Attributes:
        messages: Each sent at once; a number is a pause before the next, in seconds.
        is_cut: Whether the connection breaks off after them.
    """

    messages: tuple[bytes | float, ...]
    is_cut: bool = False


def streamed(
    *chunks: bytes | float, status: int = 200, kind: str = "text/event-stream", end: bytes | None = None
) -> Stream:
    """Return an answer of HTTP in chunks, which `end` ends: one that is well, if it is None."""
    head = json.dumps({"statusCode": status, "headers": {"content-type": kind}}).encode() + bytes(8)
    parts = [each if isinstance(each, int | float) else part(each) for each in chunks]
    return Stream((part(head), *parts, completed() if end is None else end))


@dataclass
class LambdaApi:
    """What functions answer, and what they were asked.

    Attributes:
        url: Where it is.
        otherwise: What a function answers that `answers` does not name.
        answers: By function: a result; a status of Lambda's own; `{"error": words}` of one that failed; a
            `Stream`; or one of these after some seconds, `(seconds, answer)`.
        asked: Function and event of each call.
        paths: As they were sent.
        tenants: That Lambda was told, None where it was told none.
        gone: Functions whose answer the caller did not want to its end.
        keeps: Whether connections last longer than one answer.
    """

    url: str = ""
    otherwise: Any = field(default_factory=lambda: OK)
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    tenants: list[str | None] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    keeps: bool = False


class _Server(ThreadingHTTPServer):
    # Connections are kept, so their threads outlive the test.
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Callers may hang up."""


@contextmanager
def lambda_api() -> Iterator[LambdaApi]:
    """Serve until the block ends."""
    api = LambdaApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.close_connection = not api.keeps
            body = self.rfile.read(int(self.headers["content-length"]))
            function = self.path.split("/")[3]
            api.asked.append((function, json.loads(body)))
            api.paths.append(self.path)
            api.tenants.append(self.headers["x-amz-tenant-id"])
            answer = api.answers.get(function, api.otherwise)
            if isinstance(answer, tuple):
                seconds, answer = answer
                time.sleep(seconds)
            if not isinstance(answer, int) and "response-streaming" in self.path:
                self._stream(function, answer)
                return
            error = answer.get("error") if isinstance(answer, dict) else None
            self.send_response(answer if isinstance(answer, int) else 200)
            if error:
                self.send_header("X-Amz-Function-Error", "Unhandled")
                answer = {"errorMessage": error}
            told = json.dumps(answer).encode()
            self.send_header("Content-Length", str(len(told)))
            self._end_headers()
            self.wfile.write(told)

        def _end_headers(self) -> None:
            if not api.keeps:
                self.send_header("Connection", "close")
            self.end_headers()

        def _stream(self, function: str, answer: Any) -> None:
            if not isinstance(answer, Stream):
                error = answer.get("error")
                told = (completed("Unhandled", json.dumps({"errorMessage": error})),) if error else ()
                answer = Stream(told or (part(json.dumps(answer).encode()), completed()))
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self._end_headers()
            try:
                for each in answer.messages:
                    if isinstance(each, int | float):
                        time.sleep(each)
                    elif each:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(each), each))
                if answer.is_cut:
                    self.close_connection = True
                else:
                    self.wfile.write(b"0\r\n\r\n")
            except OSError:
                api.gone.append(function)
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
