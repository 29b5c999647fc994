"""The circuit breaker, by a clock that the test holds."""

from __future__ import annotations

import pytest

from functions.gpu_proxy.breaker import FAILURES, OPEN_S, Breaker
from hotplate.errors import EndpointUnavailableError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def failed(clock: Clock, times: int) -> Breaker:
    breaker = Breaker(now=clock)
    for _ in range(times):
        breaker.check()
        breaker.failed()
    return breaker


def test_it_opens_after_so_many_failures_in_a_row_and_says_for_how_long(clock: Clock) -> None:
    failed(clock, FAILURES - 1).check()
    breaker = failed(clock, FAILURES)
    clock.now += 0.5
    with pytest.raises(EndpointUnavailableError) as caught:
        breaker.check()
    assert caught.value.retry_after_s == OPEN_S


def test_success_between_failures_starts_the_count_anew(clock: Clock) -> None:
    breaker = failed(clock, FAILURES - 1)
    breaker.succeeded()
    breaker.failed()
    breaker.check()


def test_one_that_fails_after_the_wait_opens_it_again_and_one_that_works_closes_it(clock: Clock) -> None:
    breaker = failed(clock, FAILURES)
    clock.now += OPEN_S
    breaker.check()
    breaker.failed()
    with pytest.raises(EndpointUnavailableError):
        breaker.check()
    clock.now += OPEN_S
    breaker.check()
    breaker.succeeded()
    breaker.failed()
    breaker.check()
