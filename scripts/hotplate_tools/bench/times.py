"""Times of warm requests, and how they are told: as a table, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OURS", "Times", "Warm", "as_data", "as_text", "spread"]

OURS = ("hotplate binary", "hotplate json")


@dataclass(frozen=True, slots=True)
class Times:
    """One contender's requests, in milliseconds.

    Attributes:
        whole: From sending the request to having its answer.
        outside: In hotplate's handler, but not in `session.run`.
        first: The first request of each start, which found the function loaded: outside `session.run` too.
    """

    whole: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Warm:
    """What one case's requests took.

    Attributes:
        case: Key of `CASES`.
        floats: In one request.
        starts: How often everything was started.
        times: By contender: `run`, hotplate's, `usual`, `nothing`, the servers.
    """

    case: str
    floats: int
    starts: int
    times: Mapping[str, Times]


def spread(ms: list[float]) -> dict[str, float]:
    """Return median, tenth and ninetieth percentile, and least, of some milliseconds."""
    tenths = quantiles(ms, n=10) if len(ms) > 1 else [ms[0]] * 9
    found = {"p50": median(ms), "p10": tenths[0], "p90": tenths[8], "min": min(ms)}
    return {name: round(value, 4) for name, value in found.items()}


def as_data(seen: Warm) -> dict[str, Any]:
    """Return the times as what `--json` prints."""
    return {
        "case": seen.case,
        "floats": seen.floats,
        "starts": seen.starts,
        "contenders": {
            name: {
                "requests": len(times.whole),
                **{
                    f"{part}_ms": spread(ms)
                    for part, ms in (
                        ("whole", times.whole),
                        ("outside_run", times.outside),
                        ("first_outside_run", times.first),
                    )
                    if ms
                },
            }
            for name, times in seen.times.items()
        },
    }


def as_text(seen: Warm) -> str:
    """Return the times as a table, and their ratios."""
    lines = [
        f"{seen.case}, {seen.floats:,} floats a request, {seen.starts} starts; whole requests in ms",
        f"  {'':<17}{'p50':>9}{'p10':>9}{'p90':>9}{'least':>9}",
    ]
    lines += [_row(name, times.whole) for name, times in seen.times.items()]
    lines.append("in hotplate's handler, but not in session.run, usage line included")
    for name in OURS:
        times = seen.times[name]
        lines.append(_row(name, times.outside))
        lines.append(_row("  first request", times.first))
    base = median(seen.times[OURS[1]].whole)
    others = [name for name in seen.times if name not in ("run", "nothing", *OURS)]
    ratios = (f"{name} {median(seen.times[name].whole) / base:.2f}" for name in others)
    lines.append("whole requests, as multiples of hotplate's in JSON: " + ", ".join(ratios))
    return "\n".join(lines)


def _row(name: str, ms: list[float]) -> str:
    found = spread(ms)
    return f"  {name:<17}" + "".join(f"{found[key]:>9.3f}" for key in ("p50", "p10", "p90", "min"))
