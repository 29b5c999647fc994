"""The template's state machine on moto's interpreter, with the real worker behind Lambda's own protocol.

Moto answers calls of Lambda by an echo; so the interpreter's client is pointed at a server here, which calls
what `functions.batch.app` calls.
"""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.support.template import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["definition", "lambda_server", "waited_for"]

FUNCTION = "batch-function"


def definition(**values: str) -> str:
    """Return the definition in the template, with these values of its names; tried again after a second.

    Moto's grammar knows items that are Standard executions only, and takes no whole number for a percentage.
    """
    text: str = RESOURCES["ChunkMap"]["Properties"]["DefinitionString"]["Fn::Sub"]
    known = {"AWS::Partition": "aws", "BatchFunction.Arn": FUNCTION, **values}
    filled = re.sub(r"\$\{([\w:.]+)\}", lambda match: known[match[1]], text)
    filled = filled.replace('"EXPRESS"', '"STANDARD"').replace('Percentage": 10,', 'Percentage": 10.0,')
    return re.sub(r'"IntervalSeconds": \d+', '"IntervalSeconds": 1', filled)


@contextmanager
def lambda_server(work: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[str]:
    """Give the address of what answers `Invoke` by calling `work` with the payload."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert f"/functions/{FUNCTION}/invocations" in self.path
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {}
            try:
                answer = work(event)
            except Exception as fault:  # as Lambda tells of it
                headers = {"X-Amz-Function-Error": "Unhandled"}
                answer = {"errorType": type(fault).__name__, "errorMessage": str(fault)}
            body = json.dumps(answer).encode()
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def waited_for(client: Any, execution: str) -> dict[str, Any]:
    """Return an execution when it has ended."""
    until = time.monotonic() + 60
    while True:
        told: dict[str, Any] = client.describe_execution(executionArn=execution)
        if told["status"] != "RUNNING" or time.monotonic() > until:
            return told
        time.sleep(0.05)
