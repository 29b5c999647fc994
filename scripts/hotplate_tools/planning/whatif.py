"""From how many requests an hour on SageMaker is cheaper than Lambda, for one model and one price table.

A way to run a model costs, in USD an hour at `r` requests an hour of one row each:

```
lambda      r·C + r·GB·rate·(ceil(request_ms)/1000 + cold_share(r)·init_s)
realtime    n(r)·hour            + r·C + r·front(wait_ms + FRONT_MS)
async       n(r)·hour·awake(r)   + r·C + r·front(2·FRONT_MS)

n(r)      = max(1, ceil(r / capacity))          capacity = LOAD_SHARE·3,600,000 / wait_ms
wait_ms   = HANDLER_MS + run_ms / (1 + THREAD_GAIN·(vCPUs - 1)),   or what the row takes on the GPU
awake(r)  = 1 - exp(-r·(COOL_DOWN_MINUTES + WAKE_MINUTES)/60),    1 where n(r) > 1
front(ms) = FRONT_MB/1024 · ms/1000 · rate      of the function before the endpoint: it waits, or is told
C         = calls of Lambda and of API Gateway, which come before either
```

As instances come whole, one way may get cheaper, then dearer when the second instance begins, then cheaper
again: `Way.cheaper` has every such stretch up to `HORIZON` instances. The least traffic is one request an
hour. Kept out is what `money` keeps out, and free tiers.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.limits import MAX_MEMORY_MB
from hotplate_tools.planning.estimates import HANDLER_MS, THREAD_GAIN
from hotplate_tools.planning.money import COOL_DOWN_MINUTES, cold_share
from hotplate_tools.planning.tiers import INSTANCE_SHARE, Need, obstacles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hotplate.manifest.schema import Tier
    from hotplate_tools.planning.prices import Instance, Prices
    from hotplate_tools.planning.rules import Proposal

__all__ = ["HORIZON", "Way", "WhatIf", "what_if"]

# Share of its time that an instance computes before another is needed; more of it is waiting in line. Ours.
LOAD_SHARE = 0.7
# Minutes from nothing to a first answer, in which the instance is paid for. Ours; AWS says "several minutes".
WAKE_MINUTES = 5
# The function before the endpoint: its memory in MB (template.yaml) and what it takes by itself. Ours.
FRONT_MB = 512
FRONT_MS = 20.0
# Instances up to which a crossing is looked for.
HORIZON = 64
ENDPOINTS: tuple[Tier, ...] = ("sagemaker-realtime", "sagemaker-async")
_STEPS = 60  # of halving: more digits than a float has


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the model.

    Attributes:
        tier: Of the plan.
        instance: Of SageMaker; "" on Lambda.
        wait_ms: One row there.
        is_measured_gpu: Whether `wait_ms` is what a GPU was measured at.
        capacity: Requests an hour that one instance takes; infinite on Lambda.
        full_million: USD per million requests of an instance that has all that it takes; on Lambda, warm.
        usd: USD an hour at so many requests an hour.
        cheaper: Stretches of requests an hour in which it costs no more than Lambda; the last one's end is
            infinite where it goes past `HORIZON` instances.
        against: Why it cannot hold the model; then all of the above is what it would be.
    """

    tier: str
    instance: str
    wait_ms: float
    is_measured_gpu: bool
    capacity: float
    full_million: float
    usd: Callable[[float], float]
    cheaper: tuple[tuple[float, float], ...] = ()
    against: tuple[str, ...] = ()

    @property
    def crossing(self) -> float | None:
        """Requests an hour from which it is cheaper than Lambda, for the first time; None: never."""
        return self.cheaper[0][0] if self.cheaper else None

    @property
    def always(self) -> float | None:
        """Requests an hour from which it stays cheaper; None: never."""
        return self.cheaper[-1][0] if self.cheaper and math.isinf(self.cheaper[-1][1]) else None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The comparison; `on_lambda` first, then every instance of the table as each tier of SageMaker."""

    on_lambda: Way
    others: tuple[Way, ...]


def what_if(
    proposal: Proposal, prices: Prices, *, architecture: str = "x86_64", gpu_ms: float | None = None
) -> WhatIf:
    """Return what the model of a plan costs elsewhere.

    Args:
        proposal: The plan; its memory is Lambda's if its tier is.
        prices: The price table.
        architecture: Of the functions.
        gpu_ms: Milliseconds of one row on the GPUs of the table, as somebody measured; None reckons with the
            processors of such an instance.
    """
    calls = (prices.lambda_.million_requests + prices.api_gateway.rest_million_requests) / 1e6
    rate, against = prices.lambda_.gb_second[architecture], obstacles(_need(proposal), prices)
    base = _on_lambda(proposal, calls, rate, against)
    front = FRONT_MB / 1024 * rate / 1000
    others = []
    for instance, tier in itertools.product(prices.sagemaker, ENDPOINTS):
        row_ms = gpu_ms if instance.gpu else None
        wait_ms = _on_instance(proposal.figures.run_ms, instance) if row_ms is None else HANDLER_MS + row_ms
        sleeps = tier == "sagemaker-async"
        each = calls + front * (2 * FRONT_MS if sleeps else wait_ms + FRONT_MS)
        usd = _endpoint(instance, wait_ms, sleeps=sleeps, each=each)
        capacity = _capacity(wait_ms)
        others.append(
            Way(
                tier=tier,
                instance=instance.instance,
                wait_ms=wait_ms,
                is_measured_gpu=row_ms is not None,
                capacity=capacity,
                full_million=1e6 * (instance.hour / capacity + each),
                usd=usd,
                cheaper=_stretches(base.usd, usd, capacity),
                against=against[tier] or _cannot(instance, proposal.figures.need_mb),
            )
        )
    return WhatIf(base, tuple(others))


def _on_lambda(proposal: Proposal, calls: float, rate: float, against: Mapping[Tier, tuple[str, ...]]) -> Way:
    figures, own = proposal.figures, proposal.tier.value.startswith("lambda")
    memory_mb = proposal.memory_mb.value if own else figures.need_mb
    request_ms = figures.request_ms(memory_mb)
    warm = calls + memory_mb / 1024 * rate * math.ceil(request_ms) / 1000

    def usd(r: float) -> float:
        return r * (warm + memory_mb / 1024 * rate * cold_share(r / 60, request_ms) * figures.init_s)

    return Way(
        tier=proposal.tier.value if own else "lambda-zip",
        instance="",
        wait_ms=request_ms,
        is_measured_gpu=False,
        capacity=math.inf,
        full_million=1e6 * warm,
        usd=usd,
        against=() if own else against["lambda-zip"] or against["lambda-image"],
    )


def _need(proposal: Proposal) -> Need:
    model, figures = proposal.model, proposal.figures
    fastest_s = figures.request_ms(MAX_MEMORY_MB) / 1000
    # Without traffic: that an endpoint would never sleep is no obstacle here, the figures say what it costs.
    return Need(model.code_bytes, figures.need_mb, fastest_s, model.request_bytes, model.response_bytes, None)


def _cannot(instance: Instance, need_mb: int) -> tuple[str, ...]:
    most = int(instance.memory_mb * INSTANCE_SHARE)
    return () if need_mb <= most else (f"{need_mb:,} MB of memory is over the {most:,} MB of it",)


def _on_instance(run_ms: float, instance: Instance) -> float:
    return HANDLER_MS + run_ms / (1 + THREAD_GAIN * (instance.vcpus - 1))


def _capacity(wait_ms: float) -> float:
    return LOAD_SHARE * 3_600_000 / wait_ms


def _endpoint(instance: Instance, wait_ms: float, *, sleeps: bool, each: float) -> Callable[[float], float]:
    capacity = _capacity(wait_ms)

    def usd(r: float) -> float:
        count = max(1, math.ceil(r / capacity))
        awake = 1.0
        if sleeps and count == 1:
            awake = 1 - math.exp(-r * (COOL_DOWN_MINUTES + WAKE_MINUTES) / 60)
        return count * instance.hour * awake + r * each

    return usd


def _stretches(
    ours: Callable[[float], float], theirs: Callable[[float], float], capacity: float
) -> tuple[tuple[float, float], ...]:
    """Return where `theirs` costs no more than `ours`, from one request an hour on."""

    def gain(r: float) -> float:
        return ours(r) - theirs(r)

    found: list[tuple[float, float]] = []
    for count in range(HORIZON):
        end = capacity * (count + 1)
        if end <= 1:
            continue
        begin = math.nextafter(max(1.0, capacity * count), math.inf)
        # Between two beginnings of instances only what Lambda takes more of grows, so one sign changes once.
        if gain(end) < 0:
            continue
        first = begin if gain(begin) >= 0 else _halved(gain, begin, end)
        if found and found[-1][1] == capacity * count and first == begin:
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, end))
    if found and found[-1][1] == capacity * HORIZON:
        found[-1] = (found[-1][0], math.inf)
    return tuple(found)


def _halved(gain: Callable[[float], float], low: float, high: float) -> float:
    """Return where `gain` turns from below zero at `low` to zero or above at `high`."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if gain(middle) < 0:
            low = middle
        else:
            high = middle
    return high
