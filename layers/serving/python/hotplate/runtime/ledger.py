"""The cold ledger: what one cold start spent its time on, phase by phase.

| phase | from, to |
|---|---|
| `runtime` | start of the process, first line of hotplate: Python and Lambda's own client |
| `imports` | first line of hotplate, start of loading: numpy, ONNX Runtime, ours; the codecs are rehearsed |
| `manifest` | reading and checking the manifest |
| `fetch` | reading the files, from S3 or the cache, hashed on the way |
| `wait` | instead of both, where a child process does them beside the imports: what is left of them |
| `assets` | what the function makes of its assets, where it has any |
| `session` | building the ONNX Runtime session |
| `warmup` | the first runs |
| `restore` | instead of all, in an environment restored from a snapshot: what hotplate did after that |
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import hotplate

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Ledger", "end_of_imports"]


class Ledger:
    """Phases in milliseconds, in the order they ran, and notes on what was done another way.

    Attributes:
        phases: Milliseconds by phase.
        beside: Milliseconds of `manifest` and `fetch` that ran beside the imports; no part of the total.
        notes: Sentences such as why a cached file was not used.
    """

    def __init__(self) -> None:
        self.phases: dict[str, float] = dict(end_of_imports())
        self.beside: dict[str, float] = {}
        self.notes: list[str] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens inside as phase `name`, also when it fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = round(self.phases.get(name, 0.0) + (time.perf_counter() - started) * 1000, 1)

    def restart(self) -> None:
        """Forget what the environment spent that a snapshot was taken of."""
        self.phases.clear()
        self.beside.clear()

    def note(self, text: str) -> None:
        """Keep a sentence for the reader of the ledger."""
        self.notes.append(text)

    @property
    def total_ms(self) -> float:
        """Milliseconds from the start of the process to the end of the last phase."""
        return round(sum(self.phases.values()), 1)


@cache
def end_of_imports() -> tuple[tuple[str, float], ...]:
    """Return the phases before the first call; a load that begins or is tried again later changes nothing."""
    imports = (time.perf_counter() - hotplate.IMPORTED_AT) * 1000
    runtime = max(0.0, _process_age_ms() - imports)
    return ("runtime", round(runtime, 1)), ("imports", round(imports, 1))


def _process_age_ms() -> float:
    """Return how long this process has run, in ms, to the clock tick (10 ms)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22, starttime; see proc(5)
    return (time.clock_gettime(time.CLOCK_BOOTTIME) - started_s) * 1000
