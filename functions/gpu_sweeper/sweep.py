"""One round over the endpoints of a stack: what is past its lease is deleted, the others are counted on.

Rules kept:

1. What is spent is counted from round to round, by the instances that run then: while an endpoint sleeps it
   costs nothing, so neither its age nor its configuration says what it cost.
2. A fault of one endpoint keeps no other from its end. What could not be deleted is tried in the next round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.errors import StoreError

if TYPE_CHECKING:
    from hotplate.aws.leases import LeasedEndpoint, Leases

__all__ = ["Swept", "sweep"]


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


def _one(leases: Leases, endpoint: LeasedEndpoint, now: float) -> Swept:
    spent, why = endpoint.spent_usd(now), endpoint.why_over(now)
    try:
        if why:
            leases.delete(endpoint)
            return Swept(endpoint.name, "deleted", why)
        leases.tag(endpoint, spent_usd=f"{spent:.4f}", counted_at=f"{now:.0f}")
    except StoreError as fault:
        return Swept(endpoint.name, "failed", f"{why or 'not counted'}; {fault}")
    return Swept(endpoint.name, "kept", f"{spent:.2f} USD are spent")
