"""A circuit breaker: whoever fails again and again is left alone for a while. Pure, but for the clock.

```
closed ──FAILURES in a row──▶ open ──OPEN_S──▶ half-open: one request tries
  ▲                            ▲                    │
  └─────────it works───────────┼────────────────────┤
                               └──────it fails──────┘
```

Its state is this environment's own: nothing is asked on the way of a request that could itself fail.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from hotplate.errors import EndpointUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FAILURES", "OPEN_S", "Breaker"]

# Failures in a row that open it, and seconds until somebody may try again. Ours.
FAILURES = 5
OPEN_S = 30.0


class Breaker:
    """The breaker; `now` is a clock that never goes back, in seconds."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures = 0
        self._until = -math.inf

    def check(self) -> None:
        """Let a request through, or not.

        Raises:
            EndpointUnavailableError: It is open; says until when.
        """
        left = self._until - self._now()
        if left > 0:
            raise EndpointUnavailableError(
                f"the endpoint failed {self._failures} times in a row and is left alone for a while",
                math.ceil(left),
            )

    def failed(self) -> None:
        """Take down a failure."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._until = self._now() + OPEN_S

    def succeeded(self) -> None:
        """Take down that it works."""
        self._failures, self._until = 0, -math.inf
