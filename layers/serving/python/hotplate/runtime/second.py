"""A second process that reads half of a model's ranges, each into its place in the memory both share.

One process takes bytes off TLS with one thread at a time (Python's lock), which leaves another processor idle
for a third of the time. A second one has a lock of its own.

    child ─┬─ modules ─ manifest ─ its half, hashes both ─ report
           └─ second:   waits ──── the other half ─ says which ranges are there

It is forked before the child has threads, and does nothing until it is told what to read. Nothing depends on
it: ranges that it does not report are read by the child, which meets what it met, and hashes all bytes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from hotplate.runtime.crew import in_order
from hotplate.runtime.files import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hotplate.runtime.memory import SharedMemory
    from hotplate.store.base import Reader

__all__ = ["Second"]

# Fewer ranges than these are read sooner than a second process has shaken hands.
_LEAST_SPANS = 4
# Connections of each of the two, which are four together, as one process would have.
WORKERS = 2


class Second:
    """The process, as the child sees it; the `Helper` of `hotplate.runtime.files`."""

    def __init__(self, open_reader: Callable[[], Reader], memory: SharedMemory) -> None:
        """Fork it.

        Args:
            open_reader: Called in the process, if it has anything to read.
            memory: Where the ranges go.

        Raises:
            OSError: No process can be had.
        """
        self._memory = memory
        told, self._telling = os.pipe()
        self._reported, reporting = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._telling)
            _work(open_reader, memory, told, reporting)
        os.close(told)
        os.close(reporting)
        self._theirs: list[int] = []
        self._read = 0

    def share(self, spans: Sequence[Span], size: int) -> frozenset[int]:
        """Have half of the spans read; return the places of those.

        Args:
            spans: All, in the order in which they are hashed.
            size: Of the memory, in bytes.
        """
        if len(spans) >= _LEAST_SPANS:
            self._theirs = [*range(1, len(spans), 2)]
            _write(self._telling, msgspec.msgpack.encode((size, [spans[place] for place in self._theirs])))
        self._tell_no_more()
        theirs = frozenset(self._theirs)
        if len(spans) > 1:  # one range is there before a thread is
            self._memory.make_pages(
                (span.offset, span.size) for place, span in enumerate(spans) if place not in theirs
            )
        return theirs

    def has_read(self, place: int) -> bool:
        """Wait until a span is there; False if the process ended without it. In the order of `share`."""
        while self._read <= self._theirs.index(place):
            said = os.read(self._reported, 4096)
            if not said:
                return False
            self._read += len(said)
        return True

    def end(self) -> None:
        """Wait until the process is gone."""
        self._tell_no_more()
        os.close(self._reported)
        os.waitpid(self._pid, 0)

    def _tell_no_more(self) -> None:
        if self._telling >= 0:
            os.close(self._telling)
        self._telling = -1


def _work(open_reader: Callable[[], Reader], memory: SharedMemory, told: int, reporting: int) -> None:
    """Read what is asked for, a byte for each span, and end; what fails is the child's to meet."""
    try:
        orders = b"".join(iter(lambda: os.read(told, 1 << 16), b""))
        if orders:
            size, spans = msgspec.msgpack.decode(orders, type=tuple[int, list[Span]])
            _read(open_reader(), spans, memory, memory.allocate(size), reporting)
    finally:
        os._exit(0)


def _read(
    reader: Reader, spans: Sequence[Span], memory: SharedMemory, into: memoryview, reporting: int
) -> None:
    memory.make_pages((span.offset, span.size) for span in spans)

    def read(span: Span) -> None:
        place = into[span.offset : span.offset + span.size]
        reader.read_range(span.key, start=span.start, into=place, object_bytes=span.object_bytes)

    for _ in in_order(read, spans, workers=WORKERS):
        _write(reporting, b"1")


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]
