"""Stages of one piece of work, each in a thread of its own, and how long each was busy."""

from __future__ import annotations

import ctypes
import queue
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hotplate.batch.layout import Source

__all__ = ["Ahead", "Behind", "Clock", "share_heaps"]

# Things that wait between two stages. Ours: one is worked on, one lies ready.
_DEPTH = 2
# How often a thread that waits looks whether it should stop, in seconds.
_LOOK_S = 0.02
_M_ARENA_MAX = -8


def share_heaps() -> None:
    """Have all threads allocate from two heaps; where the C library has no such switch, nothing happens.

    Each chunk's threads are new, and glibc gives new threads heaps of their own, up to eight a core, which
    keep what was freed: a worker would hold more with each chunk. Source: mallopt(3), M_ARENA_MAX.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


class _End:
    """What says that nothing follows."""


_END = _End()


class _InThread:
    """Works in a thread while it is entered."""

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        """Stop, however far it is, after the item that is worked on."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        raise NotImplementedError


class Ahead[T](_InThread):
    """Goes through an iterator in a thread; iterating gives what it gives, and raises what it raises."""

    def __init__(self, items: Iterator[T]) -> None:
        """Keep the iterator; it is begun on entering."""
        super().__init__("batch-ahead")
        self._items = items
        self._queue: queue.Queue[T | _End | BaseException] = queue.Queue(_DEPTH)

    def __iter__(self) -> Iterator[T]:
        """Yield the items."""
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _run(self) -> None:
        try:
            for item in self._items:
                if not _put(self._queue, item, self._stop):
                    return
            _put(self._queue, _END, self._stop)
        except BaseException as fault:  # raised where the items are waited for
            _put(self._queue, fault, self._stop)


class Behind[T](_InThread):
    """Calls a function with each item in a thread, in order; raises what it raised, at the next item."""

    def __init__(self, call: Callable[[T], None]) -> None:
        """Keep the function."""
        super().__init__("batch-behind")
        self._call = call
        self._queue: queue.Queue[T | _End] = queue.Queue(_DEPTH)
        self._fault: BaseException | None = None

    def put(self, item: T) -> None:
        """Hand an item on; waits if too many do."""
        _put(self._queue, item, self._stop)
        if self._fault:
            raise self._fault

    def close(self) -> None:
        """Wait until all items are done."""
        _put(self._queue, _END, self._stop)
        self._thread.join()
        if self._fault:
            raise self._fault

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                item = self._queue.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if isinstance(item, _End):
                return
            try:
                self._call(item)
            except BaseException as fault:  # raised by the next `put`, or `close`
                self._fault = fault
                self._stop.set()


class Clock:
    """How long each stage was busy, in seconds."""

    def __init__(self) -> None:
        """Begin."""
        self._started = time.perf_counter()
        self._spent = dict.fromkeys(("read", "decode", "predict", "encode"), 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside as a stage's. Each stage is in one thread."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._spent[name] += time.perf_counter() - started

    def timed[T](self, name: str, items: Iterator[T]) -> Iterator[T]:
        """Yield the items; what they take to come is a stage's."""
        while True:
            with self.stage(name):
                item = next(items, _END)
            if isinstance(item, _End):
                return
            yield item

    def timed_call[T](self, name: str, call: Callable[[T], None]) -> Callable[[T], None]:
        """Return the function; what it takes is a stage's."""

        def timed(item: T) -> None:
            with self.stage(name):
                call(item)

        return timed

    def reading(self, source: Source) -> Source:
        """Return the source; what its reads take is `read`, and not `decode`."""
        return _Timed(source, self)

    def seconds(self) -> dict[str, float]:
        """Return what the stages took, and `total` since the beginning."""
        spent = {**self._spent, "total": time.perf_counter() - self._started}
        spent["decode"] = max(0.0, spent["decode"] - spent["read"])
        return {name: round(seconds, 6) for name, seconds in spent.items()}


class _Timed:
    def __init__(self, source: Source, clock: Clock) -> None:
        self._source, self._clock = source, clock

    @property
    def size(self) -> int:
        return self._source.size

    def read(self, start: int, stop: int) -> bytes | memoryview:
        with self._clock.stage("read"):
            return self._source.read(start, stop)


def _put[T](items: queue.Queue[T], item: T, stop: threading.Event) -> bool:
    """Return whether the item was put before the queue was stopped."""
    while not stop.is_set():
        try:
            items.put(item, timeout=_LOOK_S)
        except queue.Full:
            continue
        return True
    return False
