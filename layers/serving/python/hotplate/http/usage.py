"""The usage line: what one request used and about what it cost, without a payload.

One a request, on every path that a tenant can take; `functions/usage` adds them up. Each is an estimate of
what AWS bills: its own figures come minutes later, in a report line that knows no tenant.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from hotplate.http.caller import NOBODY
from hotplate.observability import write_line
from hotplate.prices import PRICES_DATE, request_nano_usd

if TYPE_CHECKING:
    from hotplate.http.event import LambdaContext

__all__ = ["UsageLine"]

# Of Lambda's functions; other tiers have usage lines of their own kind.
TIER = "lambda-zip"


class UsageLine:
    """What is known of a request so far.

    Attributes:
        request_id: Lambda's.
        memory_mb: Of the function.
        caller: Who asked.
        bytes_in: Of the body.
        rows: Of the first input.
        tokens: Of a prompt and of its answer; None where nothing is generated.
        started: When it came, on the performance counter.
        tier: Where this code runs.
        bills_init: Whether the request that began an environment pays for its start.
    """

    __slots__ = ("bytes_in", "caller", "memory_mb", "request_id", "rows", "started", "tokens")
    tier = TIER
    bills_init = True

    def __init__(self, context: LambdaContext, started: float | None = None) -> None:
        self.request_id = context.aws_request_id
        self.memory_mb = int(context.memory_limit_in_mb)
        self.caller = NOBODY
        self.bytes_in = 0
        self.rows = 0
        self.tokens: tuple[int, int] | None = None
        self.started = time.perf_counter() if started is None else started

    def write(
        self,
        status: int,
        bytes_out: int,
        *,
        model: str | None = None,
        version: str | None = None,
        cold: bool = False,
        init_ms: float = 0,
    ) -> None:
        """Write the line.

        Args:
            status: Of the answer.
            bytes_out: Of its body.
            model: What was asked; None where none is loaded, or it was about none.
            version: Of the model.
            cold: Whether this was the first request of the environment that a model answered.
            init_ms: What the cold start took, if it was.
        """
        init_ms = init_ms if self.bills_init else 0
        ms = (time.perf_counter() - self.started) * 1000
        billed_ms = math.ceil(ms) + math.ceil(init_ms)
        write_line(
            "usage",
            {
                "request_id": self.request_id,
                "at": round(time.time(), 3),
                "tenant": self.caller.tenant,
                "key": self.caller.key,
                "model": model,
                "version": version,
                "tier": self.tier,
                **self._asked(),
                "status": status,
                "rows": self.rows,
                **({"tokens_in": self.tokens[0], "tokens_out": self.tokens[1]} if self.tokens else {}),
                "bytes_in": self.bytes_in,
                "bytes_out": bytes_out,
                "ms": round(ms, 2),
                "init_ms": math.ceil(init_ms),
                "billed_ms": billed_ms,
                "memory_mb": self.memory_mb,
                "cold": cold,
                "nano_usd": self.nano_usd(billed_ms),
                "prices": PRICES_DATE,
            },
        )

    def _asked(self) -> dict[str, Any]:
        """Return whom the caller asked, where that is not who answers; it is one request, once counted."""
        asked = self.caller.asked
        return {"asked": asked, "requests": 0 if self.caller.is_again else 1} if asked else {}

    def nano_usd(self, billed_ms: int) -> int:
        """Return about what so many milliseconds cost, in billionths of a USD."""
        return request_nano_usd(billed_ms, self.memory_mb)
