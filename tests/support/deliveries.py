"""Usage lines as functions write them, and deliveries of logs as CloudWatch makes them."""

from __future__ import annotations

import base64
import gzip
import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["delivery", "mixed_lines"]

# 2026-11-30 12:00 UTC: so a day's traffic crosses a day and a month.
MIDDLE = 1_796_040_000


def mixed_lines(count: int, *, seed: int = 7) -> list[dict[str, Any]]:
    """Return usage lines of several tenants, models, days and outcomes, each with a request id of its own."""
    chance = random.Random(seed)
    return [
        {
            "hotplate": "usage",
            "request_id": f"00000000-0000-4000-8000-{number:012}",
            "at": MIDDLE + chance.randrange(-86_400, 86_400) + 0.25,
            "tenant": chance.choice(["acme", "globex", "initech", None]),
            "key": "0123456789ab",
            "model": chance.choice(["digits", "spam", "ocr", None]),
            "version": chance.choice(["1", "2"]),
            "tier": "lambda-zip",
            "status": chance.choice([200] * 9 + [400, 402, 500]),
            "rows": chance.randrange(64),
            "bytes_in": chance.randrange(10_000),
            "bytes_out": chance.randrange(10_000),
            "ms": 1.5,
            "init_ms": 0,
            "billed_ms": chance.randrange(1, 900),
            "memory_mb": 1769,
            "cold": chance.random() < 0.02,
            "nano_usd": chance.randrange(3700, 50_000),
            "prices": "2026-11-22",
        }
        for number in range(count)
    ]


def delivery(lines: Iterable[dict[str, Any] | str], kind: str = "DATA_MESSAGE") -> dict[str, Any]:
    """Return the event with which CloudWatch delivers lines to a function."""
    messages: Sequence[str] = [each if isinstance(each, str) else json.dumps(each) for each in lines]
    data = {
        "messageType": kind,
        "owner": "123456789012",
        "logGroup": "group",
        "logStream": "stream",
        "subscriptionFilters": ["filter"],
        "logEvents": [{"id": str(n), "timestamp": 1, "message": text} for n, text in enumerate(messages)],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(data).encode())).decode()}}
