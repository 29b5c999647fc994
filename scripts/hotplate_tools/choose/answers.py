"""A ranking as people and as programs read it."""

from __future__ import annotations

import io
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console as RichConsole
from rich.table import Table

from hotplate_tools.planning.weights import megabytes

if TYPE_CHECKING:
    from pathlib import Path

    from hotplate_tools.choose.compare import Compared
    from hotplate_tools.choose.ranking import Scored
    from hotplate_tools.planning.prices import Prices

__all__ = ["advice", "compared_data", "compared_text"]

# Columns: a table is as wide as it needs to be, and a name is never cut.
ENOUGH = 500
_RIGHT = ("p50 ms", "p95 ms", "peak MB", "memory MB", "cold start s", "USD/million", "to fetch")


def compared_data(compared: Compared, prices: Prices, plot: Path | None) -> dict[str, Any]:
    """Return the ranking for `--json`; a quality that is no number is null."""
    return {
        "metric": compared.metric,
        "rows": {"file": compared.rows_file, "sha256": compared.rows_sha256, "measured": compared.rows},
        "traffic_rpm": compared.traffic,
        "prices_of": prices.date.isoformat(),
        "region": prices.region,
        "ranked": [
            {
                **asdict(one),
                "quality": None if math.isnan(one.quality) else one.quality,
                "output": compared.outputs[one.name],
                "front": one.name in compared.front,
            }
            for one in compared.ranked
        ],
        "refused": [{"name": name, "reason": reason} for name, reason in compared.refused.items()],
        "picks": {aim: one.name for aim, one in compared.picks.items()},
        "advice": advice(compared),
        "plot": str(plot) if plot else None,
    }


def compared_text(compared: Compared, prices: Prices, plot: Path | None) -> str:
    """Return the ranking for people."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("model")
    for title in (compared.metric, *_RIGHT):
        table.add_column(title, justify="right")
    for one in compared.ranked:
        table.add_row("*" if one.name in compared.front else "", *_cells(one))
    out = io.StringIO()
    RichConsole(file=out, width=ENOUGH).print(table)
    traffic = "" if compared.traffic is None else f" at {compared.traffic:,g} requests a minute"
    lines = [
        f"{len(compared.ranked)} candidates on {compared.rows:,} rows of {compared.rows_file}; "
        "* is beaten by none in quality, p95 and money",
        "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines()),
        "",
        "Times and peak are of this machine. Memory, cold start and money are the plan's"
        f"{traffic}, prices of {prices.date.isoformat()}, {prices.region}.",
    ]
    if compared.refused:
        lines.append("\nNot compared")
        lines += [f"  {name}: {reason}" for name, reason in compared.refused.items()]
    lines.append(f"\n{advice(compared)}")
    return "\n".join([*lines, *([f"Drawn in {plot}"] if plot else [])])


def advice(compared: Compared) -> str:
    """Return in one sentence which to take for what."""
    picks = compared.picks
    aims = {
        "quality": f"for best quality ({compared.metric} {picks['quality'].quality:.4f})",
        "money": f"for least money ({picks['money'].usd:,.2f} USD a million requests)",
        "p95": f"for least p95 ({picks['p95'].p95_ms:,.2f} ms)",
    }
    same = len(compared.ranked) > 1 and len({one.usd for one in compared.ranked}) == 1
    if same:
        del aims["money"]
    by_name: dict[str, list[str]] = {}
    for aim, words in aims.items():
        by_name.setdefault(picks[aim].name, []).append(words)
    parts = [f"{name} {_joined(words)}" for name, words in by_name.items()]
    money = f"; all cost {picks['money'].usd:,.2f} USD a million requests" if same else ""
    return f"Take {'; '.join(parts)}{money}."


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _cells(one: Scored) -> tuple[str, ...]:
    return (
        one.name,
        f"{one.quality:.4f}",
        f"{one.p50_ms:,.2f}",
        f"{one.p95_ms:,.2f}",
        f"{one.peak_mb:,.0f}",
        f"{one.memory_mb:,}",
        f"{one.cold_start_s:,.2f}",
        f"{one.usd:,.2f}",
        megabytes(one.bytes),
    )
