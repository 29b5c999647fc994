"""A plan as people and as programs read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hotplate_tools.planning.rules import OWNER
from hotplate_tools.planning.weights import megabytes

if TYPE_CHECKING:
    from hotplate_tools.planning.prices import Prices
    from hotplate_tools.planning.rules import Proposal

__all__ = ["plan_data", "plan_text"]

_ROWS = {
    "tier": "tier",
    "memory_mb": "memory",
    "threads": "threads",
    "batch_size": "batch",
    "weight_form": "weights",
    "prepacking": "prepacking",
    "arena": "arena",
    "init_mode": "init",
}


_STANDS_IN = "asked when the function is busy or late, or the request passes its limits"


def plan_data(proposal: Proposal, prices: Prices) -> dict[str, Any]:
    """Return the plan for `--json`."""
    model, money = proposal.model, proposal.money
    return {
        "name": model.name,
        "version": model.version,
        "model_bytes": model.model_bytes,
        "variant": msgspec.to_builtins(model.variant) if model.variant else None,
        "measured": proposal.figures.is_measured,
        "plan": {
            key: {"value": getattr(proposal, key).value, "reason": getattr(proposal, key).reason}
            for key in _ROWS
        },
        "fallback": model.plan.fallback,
        "max_rows": model.plan.max_rows,
        "refused": {tier: list(reasons) for tier, reasons in proposal.refused.items()},
        "figures": {
            "run_ms": round(proposal.figures.run_ms, 3),
            "request_ms": round(proposal.request_ms, 3),
            "peak_mb": round(proposal.figures.peak_mb, 1),
            "cold_start_s": round(proposal.figures.init_s, 3),
        },
        "money": {
            "usd_per_million": {part: round(usd, 4) for part, usd in money.million.items()},
            "usd_per_million_total": round(money.total, 4),
            "usd_per_month": None if money.month is None else round(money.month, 2),
            "traffic_rpm": proposal.traffic,
            "cold_share": money.cold_share,
            "prices_of": prices.date.isoformat(),
            "region": prices.region,
        },
        "measurements": msgspec.to_builtins(model.measurements) if model.measurements else None,
    }


def plan_text(proposal: Proposal, prices: Prices) -> str:
    """Return the plan for people."""
    model = proposal.model
    head = f"{model.name} {model.version}" if model.version else model.name
    lines = [f"{head}, {megabytes(model.model_bytes)} to fetch", *_variant(proposal), *_source(proposal), ""]
    for key, label in _ROWS.items():
        chosen = getattr(proposal, key)
        value = f"{chosen.value:,} MB" if key == "memory_mb" else str(chosen.value)
        lines.append(f"  {label:<11}{value:<19}{chosen.reason}")
    if model.plan.max_rows:
        lines.append(
            f"  {'rows':<11}{f'{model.plan.max_rows:,} at most':<19}of one request on Lambda: {OWNER}"
        )
    if model.plan.fallback:
        lines.append(f"  {'fallback':<11}{model.plan.fallback:<19}{_STANDS_IN}")
    lines.append("\nRefused")
    for tier, reasons in proposal.refused.items():
        lines += [f"  {tier if index == 0 else '':<20}{reason}" for index, reason in enumerate(reasons)]
    return "\n".join([*lines, *_money(proposal, prices), *_forms(proposal)])


def _variant(proposal: Proposal) -> list[str]:
    found = proposal.model.variant
    if not found:
        return []
    return [
        f"{found.kind} instead of the float form's {megabytes(found.float_bytes)}: {found.metric} of "
        f"{found.output!r} {found.quality:.4f}, was {found.float_quality:.4f}, on {found.rows:,} rows"
    ]


def _source(proposal: Proposal) -> list[str]:
    taken = proposal.model.measurements
    if not taken:
        return ["Not measured: times and memory are estimated from size"]
    return [
        f"Measured on the publishing machine: {taken.cpu}, {taken.cores} cores, "
        f"onnxruntime {taken.onnxruntime}, {taken.threads} thread(s), median of {taken.repeats}"
    ]


def _money(proposal: Proposal, prices: Prices) -> list[str]:
    money = proposal.money
    lines = [
        f"\nMoney, USD per million requests of one row ({proposal.request_ms:,.1f} ms each; "
        f"prices of {prices.date.isoformat()}, {prices.region})"
    ]
    for part, usd in money.million.items():
        note = f"  {money.cold_share:.2%} of requests start cold" if part == "cold starts" else ""
        lines.append(f"  {part:<21}{usd:>10,.2f}{note}")
    lines.append(f"  {'together':<21}{money.total:>10,.2f}")
    if money.month is None:
        return [*lines, "  A month: say --traffic in requests a minute"]
    return [*lines, f"  {'a month':<21}{money.month:>10,.2f}  at {proposal.traffic:,g} requests a minute"]


def _forms(proposal: Proposal) -> list[str]:
    taken = proposal.model.measurements
    if not taken:
        return []
    columns = ("form", "prepacking", "MB", "session", "first run", "run", "peak MB", "differs")
    lines = ["\nForms measured (ms; * is served)", _row(columns)]
    for form in taken.forms:
        name = ("*" if form.served else "") + form.form
        times = (f"{value:,.2f}" for value in (form.session_ms, form.first_run_ms, form.steady_ms))
        lines.append(
            _row(
                (
                    name,
                    form.prepacking,
                    f"{form.bytes / 1e6:,.1f}",
                    *times,
                    f"{form.peak_mb:,.0f}",
                    f"{form.difference:.1e}",
                )
            )
        )
    return lines


def _row(cells: tuple[str, ...]) -> str:
    first, second, *rest = cells
    return f"  {first:<15}{second:<11}" + "".join(f"{cell:>11}" for cell in rest)
