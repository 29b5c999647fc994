"""What a request used, as its line in the log says, and what that costs.

A usage line is `{"hotplate": "usage", "request_id": …, "at": …, "tenant": …, …}`; `Usage` is what of it goes
into the ledger.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime

__all__ = ["INTERNAL", "Usage", "day_of", "month_of", "read_usage"]

# Tenant of what nobody is asked to pay: an API that is open, and a pipeline's calls of its members.
INTERNAL = "-"
_COUNTED = ("rows", "bytes_in", "bytes_out", "billed_ms", "init_ms", "nano_usd")


@dataclass(frozen=True, slots=True)
class Usage:
    """One request.

    Attributes:
        request_id: Lambda's; no two requests have the same.
        at: When it was answered, seconds since 1970.
        tenant: Who pays, or `INTERNAL`.
        model, version: What was asked; "-" where none is loaded.
        status: Of the answer.
        rows: Of the first input.
        bytes_in, bytes_out: Of the bodies.
        billed_ms: What Lambda bills, as estimated by the function: `init_ms` and the time to answer.
        init_ms: Of the cold start, if this was the first request of an environment.
        nano_usd: Billionths of a USD.
        cold: Whether it was the first.
        requests: 0 where the same request is counted by another line: that of the model which was asked and
            did not take it.
    """

    request_id: str
    at: float
    tenant: str
    model: str
    version: str
    status: int
    rows: int
    bytes_in: int
    bytes_out: int
    billed_ms: int
    init_ms: int
    nano_usd: int
    cold: bool
    requests: int = 1

    def counts(self) -> dict[str, int]:
        """Return what is added up, by name; names are those of the ledger."""
        counted = {name: int(getattr(self, name)) for name in _COUNTED}
        failed = int(self.status >= 400)
        return {"requests": int(self.requests), "errors": failed, "cold": int(self.cold), **counted}


def read_usage(message: str) -> Usage | None:
    """Return the usage in a line of a log, None if the line is none.

    A line that claims to be one and cannot be read is none too: written again it would be no better.
    """
    try:
        line = json.loads(message)
        if line["hotplate"] != "usage":
            return None
        line["tenant"] = line["tenant"] or INTERNAL
        line["model"], line["version"] = line["model"] or "-", line["version"] or "-"
        line.setdefault("requests", 1)
        usage = Usage(**{field.name: line[field.name] for field in fields(Usage)})
        usage.counts()
        day_of(usage.at)
    except (KeyError, OSError, OverflowError, TypeError, ValueError):
        return None
    return usage


def day_of(at: float) -> str:
    """Return the day, UTC, as `2026-11-24`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def month_of(at: float) -> str:
    """Return the month, UTC, as `2026-11`."""
    return day_of(at)[:7]
