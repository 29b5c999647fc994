"""What a deadline stops, and what it leaves alone."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hotplate.runtime.deadline import Deadline


@dataclass
class Run:
    terminate: bool = False


def wait_for(run: Run, seconds: float = 5) -> bool:
    until = time.monotonic() + seconds
    while not run.terminate and time.monotonic() < until:
        time.sleep(0.01)
    return run.terminate


def test_run_is_stopped_when_its_time_is_over() -> None:
    deadline = Deadline()
    with deadline.within(0.2):
        run = deadline.watched(Run)
        assert run is not None
        assert wait_for(run)
        assert deadline.has_stopped(run)
        # One that begins after it is stopped too: a request has one time for all its runs.
        later = deadline.watched(Run)
        assert later is not None
        assert wait_for(later)


def test_without_a_limit_nothing_is_made_and_nothing_stopped() -> None:
    deadline = Deadline()
    assert deadline.watched(Run) is None
    with deadline.within(None):
        assert deadline.watched(Run) is None
    assert not deadline.has_stopped(None)


def test_next_request_has_a_time_of_its_own() -> None:
    deadline = Deadline()
    with deadline.within(0.15):
        first = deadline.watched(Run)
        assert first is not None
        assert wait_for(first)
    with deadline.within(60):
        second = deadline.watched(Run)
        assert second is not None
        assert not wait_for(second, 0.5)
        assert not deadline.has_stopped(second)
