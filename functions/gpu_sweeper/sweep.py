"""One round over the endpoints of a stack: what is past its lease is deleted, the others are counted on.

Rules kept:

1. No endpoint runs without an end: one whose deadline is missing or cannot be read is past it.
2. What is spent is counted from round to round, by the instances that run then: while an endpoint sleeps it
   costs nothing, so neither its age nor its configuration says what it cost.
3. A fault of one endpoint keeps no other from its end. What could not be deleted is tried in the next round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hotplate.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.aws.leases import LeasedEndpoint, Leases

__all__ = ["Swept", "spent_usd", "sweep", "why_over"]


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of one endpoint: `kept`, `deleted`, `failed`; and why, for the log."""

    name: str
    outcome: str
    why: str


def sweep(leases: Leases, now: float) -> list[Swept]:
    """Return what became of each endpoint, `now` in seconds since 1970.

    Raises:
        StoreError: SageMaker does not tell which there are.
    """
    return [_one(leases, each, now) for each in leases.all() if each.status != "Deleting"]


def why_over(tags: Mapping[str, str], spent: float, now: float) -> str:
    """Return why a lease is over at `now`, when `spent` USD are; "" while it is not."""
    text = tags.get("hotplate:deadline", "")
    try:
        deadline = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return f"its deadline is {text!r}, no time"
    if now >= deadline:
        return f"its deadline was {text}"
    budget = _number(tags, "hotplate:budget-usd", math.inf)
    return f"{spent:.2f} USD of {budget:.2f} are spent" if spent >= budget else ""


def spent_usd(endpoint: LeasedEndpoint, now: float) -> float:
    """Return about what the endpoint has cost until `now`, in USD."""
    since = _number(endpoint.tags, "hotplate:counted-at", endpoint.created)
    hours = max(0.0, now - since) / 3600
    before = _number(endpoint.tags, "hotplate:spent-usd", 0.0)
    return before + hours * endpoint.instances * _number(endpoint.tags, "hotplate:usd-per-hour", 0.0)


def _one(leases: Leases, endpoint: LeasedEndpoint, now: float) -> Swept:
    spent = spent_usd(endpoint, now)
    why = why_over(endpoint.tags, spent, now)
    try:
        if why:
            leases.delete(endpoint)
            return Swept(endpoint.name, "deleted", why)
        leases.tag(endpoint, spent_usd=f"{spent:.4f}", counted_at=f"{now:.0f}")
    except StoreError as fault:
        return Swept(endpoint.name, "failed", f"{why or 'not counted'}; {fault}")
    return Swept(endpoint.name, "kept", f"{spent:.2f} USD are spent")


def _number(tags: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(tags.get(name, default))
    except ValueError:
        value = math.nan
    # What cannot be read must not keep an endpoint running: a budget of nothing is spent at once.
    return value if value >= 0 else 0.0
