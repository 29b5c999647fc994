"""A session that answers first and gets fast afterwards.

Rearranging the weights of matrix products is most of what building a session takes, and makes each
run 1.5 to 1.8 times faster. So the first answers come from a session that left the weights as they
are; once the first request is answered, a second session is built in a thread, over the same weights,
and takes the first one's place. Both give the same answers within rounding.

Rules kept: no request waits for the second session, and none fails by it; if it cannot be built, the
first goes on serving. The log says why, or how long it took and how much memory there is then: the weights
once, and their rearranged copy once.

Between requests Lambda halts the environment and this thread with it, so the second session is built
during the requests that follow, which take longer meanwhile: for environments that answer many.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from hotplate.errors import GraphError
from hotplate.observability import write_line
from hotplate.runtime.memory import memory_use_mb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from hotplate.runtime.session import Session

    Array = np.ndarray[Any, Any]

__all__ = ["StagedSession"]


class StagedSession:
    """Two sessions one after the other, used like one.

    Attributes:
        inputs, output_names, providers: As `Session`'s.
        stage: 1 while the first answers, then 2.
        fault: Why the second could not be built; empty while there is no reason.
    """

    def __init__(self, first: Session, build: Callable[[], Session]) -> None:
        """Serve from `first` until what `build` returns is there."""
        self.inputs, self.output_names, self.providers = first.inputs, first.output_names, first.providers
        self.stage, self.fault = 1, ""  # of the second session
        self._session, self._build = first, build
        self._thread: threading.Thread | None = None

    def run_all(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output; otherwise as `run`."""
        return self.run(feeds, self.output_names)

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """Return the outputs called `names`; see `Session.run`."""
        results = self._session.run(feeds, names)
        if not self._thread:  # the first request has its answer
            self._thread = threading.Thread(target=self._begin_second, name="second session", daemon=True)
            self._thread.start()
        return results

    def join(self) -> None:
        """Wait until the second session is there, or could not be built."""
        if self._thread:
            self._thread.join()

    def _begin_second(self) -> None:
        started = time.perf_counter()
        try:
            session = self._build()
        except (GraphError, MemoryError) as fault:
            self.fault = str(fault) or type(fault).__name__
            write_line("second session", {"error": self.fault})
            return
        # Warmed up by what it runs first: a run costs less than a caller's wait for it would.
        self._session, self.stage = session, 2
        took_ms = round((time.perf_counter() - started) * 1000, 1)
        write_line("second session", {"ms": took_ms, "memory_mb": memory_use_mb()})
