"""What a deadline stops, and what it leaves alone."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass

import pytest

from hotplate.errors import StepTimeoutError
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


def test_python_that_takes_longer_is_stopped_also_where_it_catches_what_stops_it() -> None:
    deadline = Deadline()
    caught: list[StepTimeoutError] = []

    def stubborn() -> None:
        with deadline.within(0.1), deadline.interrupting():
            while True:
                try:
                    time.sleep(0.001)
                except StepTimeoutError as fault:
                    caught.append(fault)
                    if len(caught) == 2:
                        raise

    with pytest.raises(StepTimeoutError, match=r"more than 0\.1 s"):
        stubborn()
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_python_is_left_alone_without_a_limit_and_in_other_threads() -> None:
    deadline = Deadline()
    with deadline.interrupting():
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    done = []

    def elsewhere() -> None:
        with deadline.within(0.05), deadline.interrupting():
            time.sleep(0.2)
            done.append(True)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done == [True]


def test_what_came_before_the_model_is_not_its_time() -> None:
    deadline = Deadline()
    with deadline.within(0.3):
        time.sleep(0.4)
        deadline.begin()
        run = deadline.watched(Run)
        assert run is not None
        assert not wait_for(run, 0.15)
        assert wait_for(run)


def test_nothing_runs_past_what_is_left_of_the_invocation() -> None:
    deadline = Deadline()
    with deadline.within(60, left_s=0.2):
        deadline.begin()
        run = deadline.watched(Run)
        assert run is not None
        assert wait_for(run)


def test_signal_that_comes_as_the_block_ends_leaves_no_timer_behind() -> None:
    """However close it is: it may come in the block, between its end and the timer's, or not at all."""
    deadline, outcomes = Deadline(), set[bool]()

    def busy(until: float) -> None:
        while time.monotonic() < until:
            pass

    for number in range(400):
        ends = time.monotonic() + 0.0009 + number % 40 * 0.00001
        try:
            with deadline.within(0.001), deadline.interrupting():
                busy(ends)
            outcomes.add(True)
        except StepTimeoutError:
            outcomes.add(False)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    assert outcomes == {True, False}
