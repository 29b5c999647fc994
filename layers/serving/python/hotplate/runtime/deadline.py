"""How long the runs of one request may take: a model that takes longer is stopped, and its caller answered.

Without it Lambda would end the process at the function's own time-out: the caller would get a gateway's
words, the request no usage line, and the next one a cold start.

Rules kept: one request at a time, as Lambda gives them to a process; who asks for no limit pays for none,
and who does pays for an object a run. ONNX Runtime looks between two operators, and Python between two
instructions of its own, so a single one that takes long is waited for.

Source: ONNX Runtime, `OrtApi::RunOptionsSetTerminate`; Python, `signal`, "Execution of signal handlers".
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from hotplate.errors import StepTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DEADLINE", "Deadline", "Stoppable"]

# A program may catch what stops it; it is told again after so many seconds.
_AGAIN_S = 1.0

# How often the time is looked at, in seconds. A timer for each request would cost it a thread.
_POLL_S = 0.1


class Stoppable(Protocol):
    """What a run is stopped by: ONNX Runtime's `RunOptions`."""

    terminate: bool


class Deadline:
    """Stops what runs when the time of the request in work is over.

    Attributes:
        limit_s: Of the request in work; infinite where there is none.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        self.limit_s = math.inf
        self._until = self._end = math.inf
        self._run: Stoppable | None = None
        self._stopped: Stoppable | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, limit_s: float | None, *, left_s: float = math.inf) -> Iterator[None]:
        """Let the runs of the block take so long together.

        Args:
            limit_s: Seconds; None lets them take any time.
            left_s: Seconds from now after which nothing runs, whatever `begin` says.
        """
        if limit_s is None:
            yield
            return
        self.limit_s, self._end = limit_s, time.monotonic() + left_s
        self.begin()
        if self._thread is None or not self._thread.is_alive():  # a fork leaves threads behind
            self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
            self._thread.start()
        try:
            yield
        finally:
            self.limit_s = self._until = self._end = math.inf
            self._run = self._stopped = None

    def begin(self) -> None:
        """Have the time of the request in work begin now: what came before was not the model's."""
        self._until = min(time.monotonic() + self.limit_s, self._end)

    def watched[T: Stoppable](self, make: Callable[[], T]) -> T | None:
        """Return what the next run is stopped by, made by `make`; None where it may take any time."""
        if self._until == math.inf:
            return None
        self._run = run = make()
        return run

    def has_stopped(self, run: Stoppable | None) -> bool:
        """Return whether this run failed because its time was over."""
        return run is not None and self._stopped is run

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Stop the block's Python where it is when the time is over; in the main thread, where Lambda calls.

        Raises:
            StepTimeoutError: It was.
        """
        if self._until == math.inf or threading.current_thread() is not threading.main_thread():
            yield
            return
        import signal  # few models are Python

        is_armed = True

        def stop(*_: object) -> None:
            if is_armed:
                raise self.over()

        before = signal.signal(signal.SIGALRM, stop)
        # Two of them: a signal may come in the first `finally` itself, and the second still ends the timer.
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, max(self._until - time.monotonic(), 0.001), _AGAIN_S)
                yield
            finally:
                is_armed = False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def over(self) -> StepTimeoutError:
        """Return what the caller of a model that was stopped is told."""
        return StepTimeoutError(
            f"the model took more than {self.limit_s:g} s and was stopped: send fewer rows"
        )

    def _watch(self) -> None:
        while True:
            time.sleep(_POLL_S)
            run = self._run
            if run is not None and time.monotonic() >= self._until:
                self._stopped = run
                run.terminate = True


# Of this process.
DEADLINE = Deadline()
