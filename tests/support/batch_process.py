"""The function of batch and a model's function as one process, which a test may end at any moment.

The process talks to AWS by its endpoints alone. Events come through a pipe, one at a time, and what the
handler returns goes back; what it prints goes to a file.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from hotplate.aws.batch_files import BatchFiles
from hotplate.aws.clients import s3_client
from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.sigv4 import Credentials
from hotplate.batch.handler import BatchHandler
from hotplate.http.endpoint import Endpoint
from tests.support.batch import BUCKET, REGION, FileContext, loaded_affine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

# Bytes of a chunk: some dozens of rows.
CHUNK_BYTES = 1500


@dataclass
class HurriedContext(FileContext):
    """An invocation that has time for all rows, or for no more than one block of them, by chance."""

    function_version: str = "7"

    def get_remaining_time_in_millis(self) -> int:
        return random.choice((6_000, 29_000))


class WorkerProcess:
    """A process that answers events."""

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, dict(environ), str(log)), daemon=True)
        self._process.start()
        other.close()
        assert self._pipe.recv() == "ready"

    def begin(self, event: Any) -> None:
        self._pipe.send(event)

    def answer(self, within_s: float | None) -> dict[str, Any] | None:
        """Return the handler's answer; None if there is none so soon."""
        if not self._pipe.poll(within_s):
            return None
        answer: dict[str, Any] = self._pipe.recv()
        return answer

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, environ: dict[str, str], log: str) -> None:
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), 1)
    os.environ.update(environ)
    with _model_function() as (address, warm_up):
        os.environ["AWS_ENDPOINT_URL_LAMBDA"] = address
        app: Any = importlib.import_module("functions.batch.app")
        app._messages._splitter._chunk_bytes = CHUNK_BYTES  # which is no setting
        warm_up()  # or most moments of so short a life were the model's loading
        pipe.send("ready")
        while True:
            pipe.send(app.lambda_handler(pipe.recv(), None))


@contextmanager
def _model_function() -> Iterator[tuple[str, Callable[[], object]]]:
    """Give the address of a Lambda that has one function, and what loads its model."""

    def open_reader(seconds: float) -> S3Reader:
        return S3Reader(
            bucket=BUCKET,
            region=REGION,
            endpoint=os.environ["AWS_ENDPOINT_URL"],
            credentials=Credentials.from_environ(os.environ),
            deadline_s=seconds,
        )

    handler = BatchHandler(open_reader, BatchFiles(s3_client(), BUCKET))
    endpoint = Endpoint(loaded_affine, work_on_files=handler.answer)

    class Invocations(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(endpoint(event, HurriedContext())).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Invocations)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ask = {"batch": {"ask": "describe"}}
    yield f"http://127.0.0.1:{server.server_port}", lambda: endpoint(ask, HurriedContext())
    server.shutdown()
