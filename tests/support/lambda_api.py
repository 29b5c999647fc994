"""Lambda's Invoke on a free port, for who calls functions."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["LambdaApi", "lambda_api"]

OK = {"statusCode": 200, "headers": {}, "body": "{}", "isBase64Encoded": False}


@dataclass
class LambdaApi:
    """What functions answer, and what they were asked.

    Attributes:
        url: Where it is.
        otherwise: What a function answers that `answers` does not name.
        answers: By function: a result; a status of Lambda's own; `{"error": words}` of one that failed; or
            one of these after some seconds, `(seconds, answer)`.
        asked: Function and event of each call.
        paths: As they were sent.
        tenants: That Lambda was told, None where it was told none.
    """

    url: str = ""
    otherwise: Any = field(default_factory=lambda: OK)
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    tenants: list[str | None] = field(default_factory=list)


@contextmanager
def lambda_api() -> Iterator[LambdaApi]:
    """Serve until the block ends."""
    api = LambdaApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            function = self.path.split("/")[3]
            api.asked.append((function, json.loads(body)))
            api.paths.append(self.path)
            api.tenants.append(self.headers["x-amz-tenant-id"])
            answer = api.answers.get(function, api.otherwise)
            if isinstance(answer, tuple):
                seconds, answer = answer
                time.sleep(seconds)
            error = answer.get("error") if isinstance(answer, dict) else None
            self.send_response(answer if isinstance(answer, int) else 200)
            if error:
                self.send_header("X-Amz-Function-Error", "Unhandled")
                answer = {"errorMessage": error}
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
