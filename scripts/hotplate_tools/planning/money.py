"""What a plan costs: USD per million requests, and a month at a stated traffic.

Kept out: data transfer, storage, logs, taxes and free tiers; they do not depend on the plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotplate_tools.planning.prices import Instance, Prices

__all__ = ["MINUTES_A_MONTH", "Money", "cold_share", "instance_money", "lambda_money"]

MINUTES_A_MONTH = 730 * 60

# An idle environment is taken down after some minutes, a busy one after some hours. AWS promises
# neither; these are what users observe.
IDLE_MINUTES = 6
LIFE_MINUTES = 120
# Taken where no traffic is stated: one request in a hundred starts cold.
ASSUMED_COLD_SHARE = 0.01
# An asynchronous endpoint is taken down after so many minutes without work. Ours.
COOL_DOWN_MINUTES = 10


@dataclass(frozen=True, slots=True)
class Money:
    """USD.

    Attributes:
        million: By part, per million requests of one row.
        month: At the stated traffic; None without one.
        cold_share: Share of requests that meet a cold start; None where it does not matter.
    """

    million: dict[str, float]
    month: float | None
    cold_share: float | None

    @property
    def total(self) -> float:
        """USD per million requests."""
        return sum(self.million.values())


def cold_share(rpm: float | None, busy_ms: float) -> float:
    """Return the share of requests that start an environment.

    Arrivals at random: a gap longer than `IDLE_MINUTES` finds nobody, and each of the environments
    busy at once is replaced every `LIFE_MINUTES`.

    Args:
        rpm: Requests a minute; None takes the assumed share.
        busy_ms: Milliseconds one request keeps an environment.
    """
    if rpm is None:
        return ASSUMED_COLD_SHARE
    environments = max(1.0, rpm * busy_ms / 60_000)
    return min(1.0, math.exp(-rpm * IDLE_MINUTES) + environments / (rpm * LIFE_MINUTES))


def lambda_money(
    prices: Prices, *, memory_mb: int, request_ms: float, init_s: float, rpm: float | None, architecture: str
) -> Money:
    """Return the cost on Lambda behind a REST API; Lambda bills whole milliseconds, init included."""
    share = cold_share(rpm, request_ms)
    gigabytes, rate = memory_mb / 1024, prices.lambda_.gb_second[architecture]
    million = {
        "compute": 1e6 * gigabytes * math.ceil(request_ms) / 1000 * rate,
        "cold starts": 1e6 * gigabytes * share * init_s * rate,
        "requests": prices.lambda_.million_requests,
        "API Gateway": prices.api_gateway.rest_million_requests,
    }
    month = None if rpm is None else sum(million.values()) * rpm * MINUTES_A_MONTH / 1e6
    return Money(million, month, share)


def instance_money(instance: Instance, *, request_ms: float, rpm: float | None, sleeps: bool) -> Money:
    """Return the cost on a SageMaker instance that is busy all the time it is up (the least it can be)."""
    million = {"instance, never idle": 1e6 * request_ms / 3_600_000 * instance.hour}
    if rpm is None:
        return Money(million, None, None)
    awake = 1 - math.exp(-rpm * COOL_DOWN_MINUTES) if sleeps else 1.0
    count = max(awake, math.ceil(rpm * request_ms / 60_000) if rpm * request_ms > 60_000 else awake)
    return Money(million, instance.hour * 730 * count, None)
