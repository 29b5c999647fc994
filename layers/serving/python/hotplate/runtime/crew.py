"""Threads for reads from S3, without `concurrent.futures`, whose import costs a cold start 10 ms.

Rules kept: a fault in a thread is raised where the work is awaited, never lost; no thread outlives
the block that started it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["beside", "in_order"]


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Run `work` in a thread while the block runs; raise its fault at the end, the block's own first."""
    faults: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as fault:  # whatever it is, the block's end raises it
            faults.append(fault)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if faults:
        raise faults[0]


def in_order[T](work: Callable[[T], object], items: Sequence[T], *, workers: int) -> Iterator[T]:
    """Do `work` on every item, `workers` at a time; yield each item once it is done, in the order given.

    A fault ends it: what has not begun is left, and the fault is raised when its item's turn comes or
    before.
    """
    if len(items) == 1:  # nothing to run beside it, so no thread
        work(items[0])
        yield items[0]
        return
    crew = _Crew(work, items)
    threads = [threading.Thread(target=crew.run, daemon=True) for _ in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    try:
        for index, item in enumerate(items):
            crew.await_done(index)
            yield item
    finally:
        crew.stop()
        for thread in threads:
            thread.join()


class _Crew[T]:
    """What the threads of `in_order` share."""

    def __init__(self, work: Callable[[T], object], items: Sequence[T]) -> None:
        self._work, self._items = work, items
        self._changed = threading.Condition()
        self._next, self._done = 0, [False] * len(items)
        self._fault: BaseException | None = None

    def run(self) -> None:
        while (index := self._take()) is not None:
            try:
                self._work(self._items[index])
            except BaseException as fault:  # whatever it is, `await_done` raises it
                self._fault = self._fault or fault
            else:
                self._done[index] = True
            with self._changed:
                self._changed.notify_all()

    def await_done(self, index: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._done[index] or self._fault)
        if not self._done[index] and self._fault:
            raise self._fault

    def stop(self) -> None:
        with self._changed:
            self._next = len(self._items)

    def _take(self) -> int | None:
        with self._changed:
            if self._fault or self._next >= len(self._items):
                return None
            self._next += 1
            return self._next - 1
