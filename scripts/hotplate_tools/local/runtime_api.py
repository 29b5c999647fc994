"""Lambda's Runtime API on this machine, for what the Runtime Interface Emulator does not have.

    with RuntimeApi() as api, api.start(command, variables) as process:
        api.wait_ready()             # init is over: each process asks for its first event
        api.invoke(event)

That is: init before the first event, in the way that Lambda says (`AWS_LAMBDA_INITIALIZATION_TYPE`); a
snapshot, which is here the pause between `restore/next` and its answer; and several processes in one
environment (`AWS_LAMBDA_MAX_CONCURRENCY`), each of which asks for events. awslambdaric speaks to it, and
hotplate's own runtime.

Not done: limits on time, memory and payload, walls; `hotplate_tools.local.rie` has those.

Source: AWS Lambda developer guide, "Using the Lambda runtime API"; awslambdaric 4 (`bootstrap`,
`lambda_multi_concurrent_utils`).
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, TYPE_CHECKING, Self

from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Environment", "RuntimeApi"]

_ROOT = "/2018-06-01/runtime/"
_TIMEOUT_S = 120.0
_POLL_S = 0.05

# How long an invocation may take, in ms: Lambda's longest. Lambda's client counts in nanoseconds, and
# takes a time of centuries ahead for one that is over.
_LIMIT_MS = 15 * 60 * 1000


@dataclass(slots=True)
class _Call:
    """One event, and what became of it."""

    event: bytes
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    answer: bytes = b""
    is_error: bool = False
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Environment:
    """A running runtime.

    Attributes:
        process: Its main process.
        output: What all its processes wrote.
    """

    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def log(self) -> list[str]:
        """Return the lines written so far."""
        self.output.seek(0)
        return self.output.read().decode("utf-8", "replace").splitlines()


class RuntimeApi:
    """The API of one environment, on a free port of 127.0.0.1; a context manager.

    Attributes:
        errors: Bodies that were posted to `init/error` and `restore/error`, by that name.
    """

    def __init__(self) -> None:
        self.errors: dict[str, bytes] = {}
        self._calls: queue.Queue[_Call] = queue.Queue()
        self._open: dict[str, _Call] = {}
        self._snapshot, self._restored = threading.Event(), threading.Event()
        self._idle = threading.Semaphore(0)
        self._ended = False
        self._server = _server(self)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._restored.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """What `AWS_LAMBDA_RUNTIME_API` has to be."""
        return f"127.0.0.1:{self._server.server_port}"

    @contextmanager
    def start(self, command: Sequence[str], variables: Mapping[str, str]) -> Iterator[Environment]:
        """Run a runtime with exactly these variables, and the address of this API, until the block ends."""
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                command,
                env={**variables, "AWS_LAMBDA_RUNTIME_API": self.address},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running = Environment(process, output)
            try:
                yield self._running
            finally:
                _end(process)

    def wait_ready(self, processes: int = 1) -> None:
        """Wait until so many processes asked for their first event.

        Raises:
            FailedError: The runtime ended, or it takes too long.
        """
        for _ in range(processes):
            self._wait(lambda: self._idle.acquire(timeout=_POLL_S))

    def wait_snapshot(self) -> None:
        """Wait until init is over and a snapshot could be taken.

        Raises:
            FailedError: As of `wait_ready`.
        """
        self._wait(lambda: self._snapshot.wait(_POLL_S))

    def restore(self) -> None:
        """Go on as in an environment restored from that snapshot."""
        self._restored.set()

    def invoke(self, event: bytes) -> bytes:
        """Return what the function made of an event, JSON.

        Raises:
            FailedError: It failed, or as of `wait_ready`.
        """
        call = _Call(event)
        self._open[call.id] = call
        self._calls.put(call)
        self._wait(lambda: call.done.wait(_POLL_S))
        del self._open[call.id]
        if call.is_error:
            raise FailedError(f"the function failed: {call.answer[:500]!r}")
        return call.answer

    def next_call(self) -> _Call | None:
        """Return the next event, when there is one; None when all is over."""
        self._idle.release()
        while not self._ended:
            try:
                return self._calls.get(timeout=_POLL_S)
            except queue.Empty:
                continue
        return None

    def hold_snapshot(self) -> None:
        """Return when the environment is to go on."""
        self._snapshot.set()
        self._restored.wait()

    def take_answer(self, call_id: str, body: bytes, *, is_error: bool) -> None:
        """Hand an answer to who waits for it."""
        call = self._open[call_id]
        call.answer, call.is_error = body, is_error
        call.done.set()

    def _wait(self, is_there: Callable[[], bool]) -> None:
        for _ in range(int(_TIMEOUT_S / _POLL_S)):
            if is_there():
                return
            if self._running.process.poll() is not None:
                raise FailedError("the runtime ended:\n" + "\n".join(self._running.log()[-12:]))
        raise FailedError("the runtime takes too long:\n" + "\n".join(self._running.log()[-12:]))


def _server(api: RuntimeApi) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            what = self.path.removeprefix(_ROOT)
            if what == "restore/next":
                api.hold_snapshot()
                self._answer(200, b"")
            elif what == "invocation/next" and (call := api.next_call()):
                self._answer(200, call.event, call.id)
            else:
                self.close_connection = True

        def do_POST(self) -> None:
            body = self._body()
            kind, _, rest = self.path.removeprefix(_ROOT).partition("/")
            if kind == "invocation":
                call_id, _, outcome = rest.partition("/")
                api.take_answer(call_id, body, is_error=outcome == "error")
            else:
                api.errors[f"{kind}/{rest}"] = body
            self._answer(202, b"")

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _answer(self, status: int, body: bytes, call_id: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if call_id:
                self.send_header("Lambda-Runtime-Aws-Request-Id", call_id)
                self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + _LIMIT_MS))
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:local:0:function:f")
            self.end_headers()
            self.wfile.write(body)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A runtime that is stopped hangs up."""

    return Server(("127.0.0.1", 0), Handler)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the runtime and the workers that it forked, which are of its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
