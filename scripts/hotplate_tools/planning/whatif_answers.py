"""The comparison of `whatif` as people, as programs and as a picture's job have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hotplate_tools.planning.whatif import HORIZON, LOAD_SHARE

if TYPE_CHECKING:
    from hotplate_tools.planning.prices import Prices
    from hotplate_tools.planning.rules import Proposal
    from hotplate_tools.planning.whatif import Way, WhatIf

__all__ = ["what_if_data", "what_if_job", "what_if_text"]

# Requests an hour of the table's columns.
COLUMNS = (100, 10_000, 1_000_000)
# Points of a line of the picture, a decade.
_POINTS = 40


def what_if_data(found: WhatIf, proposal: Proposal, prices: Prices) -> dict[str, Any]:
    """Return it for `--json`; the end of a stretch is null where it goes on."""
    return {
        "traffic_rph": _rph(proposal),
        "prices_of": prices.date.isoformat(),
        "region": prices.region,
        "ways": [_way(way, proposal) for way in (found.on_lambda, *found.others)],
    }


def what_if_text(found: WhatIf, proposal: Proposal) -> str:
    """Return the table."""
    asked = _rph(proposal)
    columns = sorted({*COLUMNS, *([asked] if asked else [])})
    heads = "".join(f"{f'{column:,.12g}':>12}" for column in columns)
    lines = [
        "\nWhat if: USD an hour, by requests an hour of one row each",
        f"  {'':<36}{'ms':>9}{heads}  cheaper than Lambda from",
    ]
    for way in (found.on_lambda, *found.others):
        name = f"{way.tier} {way.instance}".rstrip()
        usd = "".join(f"{way.usd(column):>12,.4f}" for column in columns)
        lines.append(f"  {name:<36}{way.wait_ms:>9,.1f}{usd}  {_words(way, found.on_lambda)}".rstrip())
    share = f"{LOAD_SHARE:.0%}"
    lines.append(
        f"  An instance has all that it takes when it computes {share} of the time; then another begins"
    )
    if not any(way.is_measured_gpu for way in found.others):
        lines.append("  GPUs were not measured: say --gpu-ms, else their instances count by their processors")
    return "\n".join(lines)


def what_if_job(found: WhatIf, proposal: Proposal, prices: Prices) -> dict[str, Any]:
    """Return what is to be drawn: a line a way that can hold the model, up to past the last crossing."""
    ways = [way for way in (found.on_lambda, *found.others) if not way.against]
    crossings = [way.crossing for way in ways if way.crossing]
    most = 10 * max([10_000.0, _rph(proposal) or 0.0, *crossings])
    across = []
    at = 1.0
    while at < most:
        across.append(at)
        at *= 10 ** (1 / _POINTS)
    return {
        "title": f"{proposal.model.name}, prices of {prices.date.isoformat()}, {prices.region}",
        "across": across,
        "lines": [
            {
                "name": f"{way.tier} {way.instance}".rstrip(),
                "usd": [way.usd(each) for each in across],
                "crossing": None if way.crossing is None else [way.crossing, way.usd(way.crossing)],
            }
            for way in ways
        ],
        "traffic": _rph(proposal),
    }


def _rph(proposal: Proposal) -> float | None:
    return None if proposal.traffic is None else proposal.traffic * 60


def _way(way: Way, proposal: Proposal) -> dict[str, Any]:
    asked = _rph(proposal)
    return {
        "tier": way.tier,
        "instance": way.instance or None,
        "request_ms": round(way.wait_ms, 3),
        "measured_gpu": way.is_measured_gpu,
        "capacity_rph": round(way.capacity) if way.instance else None,
        "usd_per_million_full": round(way.full_million, 4),
        "usd_per_hour": {str(each): round(way.usd(each), 6) for each in COLUMNS},
        "usd_per_hour_at_traffic": None if asked is None else round(way.usd(asked), 6),
        "cheaper_from_rph": None if way.crossing is None else round(way.crossing, 1),
        "cheaper_always_from_rph": None if way.always is None else round(way.always, 1),
        "cheaper": [[round(begin, 1), _end(end)] for begin, end in way.cheaper],
        "against": list(way.against),
    }


def _end(end: float) -> float | None:
    return None if end == float("inf") else round(end, 1)


def _words(way: Way, on_lambda: Way) -> str:
    if way.against:
        return f"cannot: {'; '.join(way.against)}"
    if not way.instance:
        return ""
    if way.crossing is None:
        return f"never: {way.full_million:,.2f} USD a million when full, Lambda {on_lambda.full_million:,.2f}"
    if way.always == way.crossing:
        return f"{way.crossing:,.0f}"
    where = f"for good {way.always:,.0f}" if way.always else f"never for good, up to {HORIZON} instances"
    return f"{way.crossing:,.0f}; {where}"
