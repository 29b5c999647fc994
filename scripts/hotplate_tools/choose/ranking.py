"""Which candidates nothing beats, and which to take for what.

Rules kept:

1. Compared are quality, p95 and money. A candidate is on the front if no other is at least as good in all
   three and better in one; candidates that are equal in all three do not beat each other.
2. The front comes first, then the others; within each the better quality, then p95, money and name.
3. A quality that is no number is worse than any that is: it is never on the front beside one.
4. Figures are compared as they are printed, so that nothing is decided by digits that nobody sees.

Pure: no file, no process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Scored", "beats", "front", "picks", "ranked"]


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate's figures, rounded as they are printed.

    Attributes:
        name: What it is called in the ranking.
        quality: 1 is best.
        p50_ms, p95_ms: One row on this machine, from preprocessing to postprocessing.
        peak_mb: Peak memory of the process, MiB.
        memory_mb: Lambda memory of its plan, MB.
        cold_start_s: Estimated by its plan.
        usd: Per million requests, by its plan.
        bytes: What a cold start fetches.
        tier: Of its plan.
    """

    name: str
    quality: float
    p50_ms: float
    p95_ms: float
    peak_mb: float
    memory_mb: int
    cold_start_s: float
    usd: float
    bytes: int
    tier: str

    @property
    def loss(self) -> float:
        """What sorts by quality, smallest first."""
        return math.inf if math.isnan(self.quality) else -self.quality


type Key = Callable[[Scored], tuple[float | str, ...]]

# What is looked at first, and what decides between equals.
_AIMS: dict[str, Key] = {
    "quality": lambda one: (one.loss, one.p95_ms, one.usd, one.name),
    "money": lambda one: (one.usd, one.loss, one.p95_ms, one.name),
    "p95": lambda one: (one.p95_ms, one.loss, one.usd, one.name),
}


def beats(one: Scored, other: Scored) -> bool:
    """Return whether `one` is at least as good in everything and better in something."""
    mine, theirs = (one.loss, one.p95_ms, one.usd), (other.loss, other.p95_ms, other.usd)
    return mine != theirs and all(left <= right for left, right in zip(mine, theirs, strict=True))


def front(scored: Sequence[Scored]) -> list[Scored]:
    """Return those that no other beats, in the order given."""
    able = _with_quality(scored)
    return [one for one in able if not any(beats(other, one) for other in able)]


def ranked(scored: Sequence[Scored]) -> list[Scored]:
    """Return all, the front first."""
    first = {one.name for one in front(scored)}
    return sorted(scored, key=lambda one: (one.name not in first, *_AIMS["quality"](one)))


def picks(scored: Sequence[Scored]) -> dict[str, Scored]:
    """Return the one to take for `quality`, `money` and `p95`; all of them are on the front.

    One whose quality is no number is taken only if that is so of all.
    """
    return {aim: min(_with_quality(scored), key=key) for aim, key in _AIMS.items()}


def _with_quality(scored: Sequence[Scored]) -> Sequence[Scored]:
    return [one for one in scored if not math.isnan(one.quality)] or scored
