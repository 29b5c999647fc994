"""What AWS charges for a request, in USD, as last read. Change the figures and the date together.

The usage line, the ledger and the planner reckon with these; the planner's prices of instances are in
`prices.yaml` beside it.

Source: Lambda and API Gateway price pages of us-east-1 as reported by third parties in 2024-2026; the pages
themselves need a browser. Check them before a decision that hangs on a few per cent.
"""

from __future__ import annotations

import os

__all__ = [
    "LAMBDA_GB_SECOND",
    "LAMBDA_MILLION_REQUESTS",
    "PRICES_DATE",
    "PRICES_REGION",
    "REST_API_MILLION_REQUESTS",
    "instance_nano_usd",
    "piece_nano_usd",
    "request_nano_usd",
]

PRICES_DATE = "2026-11-22"
PRICES_REGION = "us-east-1"
# USD per GB-second, by architecture.
LAMBDA_GB_SECOND = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
# USD per million requests.
LAMBDA_MILLION_REQUESTS = 0.20
REST_API_MILLION_REQUESTS = 3.50

_HERE = {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
_GB_SECOND = LAMBDA_GB_SECOND.get(_HERE, LAMBDA_GB_SECOND["x86_64"])
_CALLS_NANO_USD = (LAMBDA_MILLION_REQUESTS + REST_API_MILLION_REQUESTS) * 1000


def request_nano_usd(billed_ms: int, memory_mb: int) -> int:
    """Return what one request costs on this processor: compute, the call of Lambda, that of API Gateway.

    Whole billionths of a USD, so that sums are exact. Not in it: data transfer, logs, storage, the
    authoriser.

    Args:
        billed_ms: Milliseconds that Lambda bills.
        memory_mb: Memory of the function in MB.
    """
    return round(billed_ms * memory_mb * _GB_SECOND * 1e6 / 1024 + _CALLS_NANO_USD)


def piece_nano_usd(billed_ms: int, memory_mb: int, worker_ms: int, worker_mb: int) -> int:
    """Return what a piece of a file costs on this processor: its model's function, and the worker that waits.

    Not in it: queue, table and storage, together some thousandths of it, and splitting and joining.

    Args:
        billed_ms: Milliseconds that Lambda bills for the model's function.
        memory_mb: Memory of that in MB.
        worker_ms: Milliseconds that the worker waits.
        worker_mb: Memory of that in MB.
    """
    mb_ms = billed_ms * memory_mb + worker_ms * worker_mb
    return round(mb_ms * _GB_SECOND * 1e6 / 1024 + 2 * LAMBDA_MILLION_REQUESTS * 1000)


def instance_nano_usd(ms: int, usd_per_hour: float) -> int:
    """Return what one request costs on an instance that works on it for `ms`, and the calls that brought it.

    What the instance asks while it has nothing to do is in no request. Requests that it works on at once are
    each reckoned as if it were alone, so their sum may be more than the instance asks.
    """
    return round(ms * usd_per_hour * 1e9 / 3_600_000 + _CALLS_NANO_USD)
