"""A caller's own server, which is told of jobs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

type Told = list[tuple[Mapping[str, str], bytes]]


@contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, Told]]:
    """Answer with these statuses, the last one from then on; yield the address and what came: headers, body.

    Each answer has a `Location`, which nobody is to follow.
    """
    told: Told = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append(({**dict(self.headers), "path": self.path}, body))
            self.send_response(statuses[min(len(told), len(statuses)) - 1])
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Stay quiet."""

    served = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{served.server_port}/hook?a=b", told
    finally:
        served.shutdown()
        served.server_close()
        thread.join()
