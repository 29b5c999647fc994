"""A streaming function as processes: one event at a time, the others wait; restarted when it died.

    with StreamingFunction(command, variables, timeout_s=29) as function:
        outcome = function.run(Call(event), deliver=chunks.append)

Rules kept: what Lambda stops is stopped here (time-out, init that takes too long), by SIGKILL, and the next
event gets a new process; a call that is cancelled is over when the function asks for its next event.

Source: AWS Lambda Developer Guide, "Understanding the Lambda execution environment lifecycle".
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Protocol, Self

from hotplate_tools.local.streaming.api import RuntimeApi
from hotplate_tools.local.streaming.call import Call, Ended

__all__ = ["Outcome", "StreamingFunction", "follow", "wait_started"]

# What init may take, and again with the first event, in seconds. Source: as above, "Init phase".
INIT_LIMIT_S = 10.0
_POLL_S = 0.05


class Process(Protocol):
    """The part of `subprocess.Popen` that is asked."""

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call.

    Attributes:
        error: As Lambda tells it (`errorType`, `errorMessage`); None if all went well.
        is_broken: Whether an answer that had begun just stopped.
        is_spent: Whether the process must not be given another event.
    """

    error: Mapping[str, Any] | None = None
    is_broken: bool = False
    is_spent: bool = False


def wait_started(api: RuntimeApi, process: Process, limit_s: float) -> Outcome | None:
    """Wait until init is over; return what went wrong, or None."""
    deadline = time.monotonic() + limit_s
    while not api.wait_idle(_POLL_S):
        if api.start_error is not None:
            return Outcome(api.start_error, is_spent=True)
        if process.poll() is not None:
            return Outcome(_exited(process), is_spent=True)
        if time.monotonic() > deadline:
            return Outcome(_timed_out(limit_s), is_spent=True)
    return None


def follow(
    api: RuntimeApi, process: Process, call: Call, *, timeout_s: float, deliver: Callable[[bytes], None]
) -> Outcome:
    """Give the process an event and hand on its answer, until it is ready for another or is spent.

    Args:
        api: What the process speaks to; init is over.
        process: Looked at, never ended here.
        call: The event.
        timeout_s: The function's time-out.
        deliver: Gets each part of the answer when it is there.
    """
    api.give(call, timeout_s)
    while True:
        try:
            part = call.next_part(_POLL_S)
        except queue.Empty:
            spent = _why_spent(process, call, timeout_s)
            if spent:
                return spent
            continue
        if not isinstance(part, Ended):
            deliver(part)
            continue
        outcome = Outcome(part.error, is_broken=part.is_broken)
        break
    while not api.wait_idle(_POLL_S):
        spent = _why_spent(process, call, timeout_s)
        if spent:  # what it answered stands, unless that just stopped
            return spent if outcome.is_broken else Outcome(outcome.error, is_spent=True)
    return outcome


def _why_spent(process: Process, call: Call, timeout_s: float) -> Outcome | None:
    if process.poll() is not None:
        return Outcome(_exited(process), is_broken=call.is_streamed, is_spent=True)
    if time.monotonic() > call.deadline:
        return Outcome(_timed_out(timeout_s), is_broken=call.is_streamed, is_spent=True)
    return None


def _exited(process: Process) -> dict[str, str]:
    code = process.poll() or 0
    how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return {"errorType": "Runtime.ExitError", "errorMessage": f"Runtime exited with error: {how}"}


def _timed_out(limit_s: float) -> dict[str, str]:
    return {"errorType": "Sandbox.Timedout", "errorMessage": f"Task timed out after {limit_s:.2f} seconds"}


class StreamingFunction:
    """A function whose process is started when it is first needed; a context manager.

    Attributes:
        starts: How many processes there were.
    """

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        *,
        timeout_s: float,
        init_limit_s: float = INIT_LIMIT_S,
    ) -> None:
        """Remember how it is started.

        Args:
            command: Of its runtime.
            variables: Its whole environment, but for the address of the Runtime API.
            timeout_s: What one event may take.
            init_limit_s: What its start may take.
        """
        self.starts = 0
        self._command, self._variables = [*command], variables
        self._timeout_s, self._init_limit_s = timeout_s, init_limit_s
        self._turn = threading.Lock()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        self._api: RuntimeApi | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._end()
        self._output.close()

    @property
    def pid(self) -> int | None:
        """Of the process that runs; None before the first event and after one that it did not outlive."""
        return self._process.pid if self._process else None

    def log(self) -> list[str]:
        """Return the lines that all its processes wrote; a traceback is one, with carriage returns in it."""
        return os.pread(self._output.fileno(), 1 << 24, 0).decode("utf-8", "replace").rstrip("\n").split("\n")

    def run(self, call: Call, deliver: Callable[[bytes], None]) -> Outcome:
        """Have an event answered, after those that came before it; see `follow`."""
        with self._turn:
            api, process, failed = self._started()
            outcome = failed or follow(api, process, call, timeout_s=self._timeout_s, deliver=deliver)
            if outcome.is_spent:
                self._end()
            return outcome

    def _started(self) -> tuple[RuntimeApi, subprocess.Popen[bytes], Outcome | None]:
        if self._api and self._process and self._process.poll() is None:
            return self._api, self._process, None
        self._end()
        self.starts += 1
        self._api = RuntimeApi()
        self._process = subprocess.Popen(
            self._command,
            env={**self._variables, "AWS_LAMBDA_RUNTIME_API": self._api.address},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self._api, self._process, wait_started(self._api, self._process, self._init_limit_s)

    def _end(self) -> None:
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._api:
            self._api.close()
        self._api = self._process = None
