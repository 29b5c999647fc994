"""What a handler needs of Lambda's context."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Context"]


@dataclass
class Context:
    """A context of one request, of a function with one vCPU."""

    aws_request_id: str = "req-1"
    memory_limit_in_mb: str = "1769"
    tenant_id: str | None = None

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the invocation may still take; much."""
        return 29_000
