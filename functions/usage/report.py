"""`GET /usage?from&to&model`: what the caller's own tenant used, by day, model and version.

There is no way to name another tenant: whose it is comes from the authoriser alone.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hotplate.errors import MalformedRequestError
from hotplate.prices import PRICES_DATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hotplate.aws.ledger import Ledger, Row

__all__ = ["MAX_DAYS", "period_of", "report_of", "row_dict", "totals_of"]

# Days that one answer covers at most: a year.
MAX_DAYS = 366
_KNOWN = {"from", "to", "model"}


def period_of(query: Mapping[str, str], today: date) -> tuple[str, str]:
    """Return first and last day that are asked for, as `2026-11-24`; else the month so far.

    Raises:
        MalformedRequestError: A parameter is unknown, no day, or the period is none.
    """
    unknown = sorted(set(query) - _KNOWN)
    if unknown:
        raise MalformedRequestError("query", expected="from, to and model", received=", ".join(unknown)[:200])
    last = _day("to", query["to"]) if "to" in query else today
    first = _day("from", query["from"]) if "from" in query else last.replace(day=1)
    if not timedelta(0) <= last - first < timedelta(MAX_DAYS):
        raise MalformedRequestError(
            "query", expected=f"a period of 1 to {MAX_DAYS} days", received=f"{first} to {last}"
        )
    return first.isoformat(), last.isoformat()


def report_of(ledger: Ledger, tenant: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the report.

    Raises:
        MalformedRequestError: As `period_of`.
        StoreError: The ledger cannot be read.
    """
    first, last = period_of(query, datetime.now(UTC).date())
    model = query.get("model")
    rows = [row for row in ledger.days(tenant, first, last) if model in (None, row.model)]
    return {
        "tenant": tenant,
        "from": first,
        "to": last,
        "prices": PRICES_DATE,
        "total": totals_of(rows),
        "rows": [row_dict(row) for row in rows],
    }


def row_dict(row: Row) -> dict[str, Any]:
    """Return a row as it is shown."""
    return {"day": row.day, "model": row.model, "version": row.version, **_shown(row.counts)}


def totals_of(rows: Iterable[Row]) -> dict[str, Any]:
    """Return the sums of all rows, as they are shown."""
    sums: Counter[str] = Counter()
    for row in rows:
        sums.update(row.counts)
    return _shown(sums)


def _shown(counts: Mapping[str, int]) -> dict[str, Any]:
    names = ("requests", "errors", "cold", "rows", "bytes_in", "bytes_out", "billed_ms", "init_ms")
    return {name: counts.get(name, 0) for name in names} | {"usd": counts.get("nano_usd", 0) / 1e9}


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as fault:
        raise MalformedRequestError(name, expected="a day as 2026-11-24", received=repr(text[:40])) from fault
