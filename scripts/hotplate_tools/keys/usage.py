"""`hotplate usage`: what the tenants of a stack used, out of its ledger."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.console import Console
from hotplate_tools.options import as_json_option, stack_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hotplate.aws.ledger import Row
    from hotplate_tools.deployed import DeployedStack

__all__ = ["usage"]

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@click.command()
@click.option("--tenant", help="Only this tenant's; `-` is what no tenant pays.")
@click.option("--model", help="Only this model's.")
@click.option("--from", "first", metavar="DAY", help="First day (UTC); the month's first if not given.")
@click.option("--to", "last", metavar="DAY", help="Last day (UTC); today if not given.")
@click.option("--statement", metavar="MONTH", help="A statement of the month 2026-11, a tenant each.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@stack_options
@as_json_option
def usage(
    *,
    tenant: str | None,
    model: str | None,
    first: str | None,
    last: str | None,
    statement: str | None,
    as_csv: bool,
    stack: DeployedStack,
    as_json: bool,
) -> None:
    """Print what tenants used, by day, model and version, with about what it cost."""
    from functions.usage.report import period_of
    from hotplate.errors import MalformedRequestError
    from hotplate.tenants.usage import INTERNAL
    from hotplate_tools.keys.stack import callers_of

    query = dict(month_of(statement)) if statement else {}
    query |= {name: day for name, day in (("from", first), ("to", last)) if day}
    try:
        period = period_of(query, datetime.now(UTC).date())
    except MalformedRequestError as fault:
        raise click.BadParameter(str(fault)) from fault
    callers = callers_of(stack)
    names = [tenant] if tenant else [*(each.name for each in callers.table.tenants()), INTERNAL]
    found = {
        name: [row for row in callers.ledger.days(name, *period) if model in (None, row.model)]
        for name in names
    }
    rows = [_flat(name, row) for name, own in found.items() for row in own]
    console = Console(as_json=as_json)
    if as_csv:
        console.result({"rows": rows}, _csv(rows))
    elif statement:
        totals = [_total(name, own) for name, own in found.items() if own]
        console.result(
            {"month": statement, "tenants": totals}, _table(totals) or f"nothing was used in {statement}"
        )
    else:
        console.result({"from": period[0], "to": period[1], "rows": rows}, _table(rows) or "nothing was used")


def month_of(text: str) -> dict[str, str]:
    """Return first and last day of a month, `2026-11`, as a query has them.

    Raises:
        BadParameter: It is none.
    """
    if not _MONTH.fullmatch(text):
        raise click.BadParameter(f"--statement: expected a month as 2026-11, got {text[:20]!r}")
    first = date.fromisoformat(f"{text}-01")
    last = (first + timedelta(31)).replace(day=1) - timedelta(1)
    return {"from": first.isoformat(), "to": last.isoformat()}


def _flat(tenant: str, row: Row) -> dict[str, Any]:
    from functions.usage.report import row_dict

    return {"tenant": tenant, **row_dict(row)}


def _total(tenant: str, rows: Iterable[Row]) -> dict[str, Any]:
    from functions.usage.report import totals_of

    return {"tenant": tenant, **totals_of(rows)}


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "usd": f"{row['usd']:.9f}"} for row in rows)
    return text.getvalue().rstrip("\n")


def _table(rows: Sequence[dict[str, Any]]) -> str:
    names: list[str] = [
        name
        for name in ("tenant", "day", "model", "version", "requests", "errors", "rows", "billed_ms", "usd")
        if rows and name in rows[0]
    ]
    lines = [[f"{row[name]:.6f}" if name == "usd" else str(row[name]) for name in names] for row in rows]
    if not lines:
        return ""
    table: list[list[str]] = [names, *lines]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )
