"""When a call is made again, and after how long: no input or output, so that both clients share it.

Rules kept here:

1. Only what the server asks for is tried again: 429 and 503, and connections that were never made. A request
   that may have been worked on is not sent twice.
2. No sooner than `Retry-After` says. On top comes a random share of a wait that doubles each time, so that
   callers who were refused together do not come back together.
3. A wait beyond `longest_wait_s` is not waited: the error is raised at once.

Source: RFC 9110, "Retry-After"; AWS Architecture Blog, "Exponential Backoff And Jitter".
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

__all__ = ["RETRIED", "Retries"]

RETRIED = (429, 503)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is made again.

    Attributes:
        most: Tries after the first; 0 for none.
        first_wait_s: Upper end of the first random wait; doubles each time.
        longest_wait_s: Longest single wait.
    """

    most: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 20.0

    def wait_s(self, tried: int, retry_after: str | None) -> float | None:
        """Return how long to wait before the next try, in seconds; None to give up.

        Args:
            tried: Tries so far.
            retry_after: The header as received.
        """
        if tried > self.most:
            return None
        asked = _seconds(retry_after)
        if asked > self.longest_wait_s:
            return None
        jitter = random.uniform(0, self.first_wait_s * 2 ** (tried - 1))  # noqa: S311 - spreads load
        return float(min(asked + jitter, self.longest_wait_s))


def _seconds(header: str | None) -> float:
    """Return what `Retry-After` asks for: seconds, or a date; 0 for what is neither."""
    if not header:
        return 0.0
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0
