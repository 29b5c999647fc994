"""One event on its way through a function, and its answer on the way back, part by part.

Standard library only.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["Call", "Ended", "split_prelude"]

SEPARATOR = b"\0" * 8
# Source: API Gateway Developer Guide, "Lambda proxy integration with payload response streaming".
MAX_PRELUDE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """How an answer ended.

    Attributes:
        error: What the runtime said went wrong, as Lambda tells it; None if nothing did.
        is_broken: Whether it just stopped.
    """

    error: Mapping[str, Any] | None = None
    is_broken: bool = False


class Call:
    """One event on its way through a function.

    Attributes:
        event, id, arn, trace_id, tenant: What the function is told.
        deadline: On the monotonic clock, in seconds; set when the function gets the event.
        is_streamed: Whether the answer comes in chunks; known when the first part is there.
    """

    def __init__(
        self,
        event: bytes,
        *,
        request_id: str = "",
        arn: str = "arn:aws:lambda:::function:f",
        trace_id: str = "",
        tenant: str | None = None,
    ) -> None:
        """Make the event ready to be given to a function."""
        self.event, self.id, self.arn, self.trace_id = event, request_id or str(uuid.uuid4()), arn, trace_id
        self.tenant = tenant
        self.deadline, self.is_streamed = 0.0, False
        self._parts: queue.SimpleQueue[bytes | Ended] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._is_cancelled = False

    def next_part(self, timeout_s: float) -> bytes | Ended:
        """Return the next part of the answer, or its end.

        Raises:
            queue.Empty: None came in that time.
        """
        return self._parts.get(timeout=timeout_s)

    def cancel(self) -> None:
        """Hang up on the function, whose answer nobody wants any more. May be called from any thread."""
        with self._lock:
            self._is_cancelled = True
            if self._connection is not None:
                _hang_up(self._connection)

    def begin(self, connection: socket.socket) -> None:
        """Note that chunks will come by this connection."""
        with self._lock:
            self.is_streamed, self._connection = True, connection
            if self._is_cancelled:
                _hang_up(connection)

    def put(self, part: bytes | Ended) -> None:
        """Hand a part on."""
        if isinstance(part, Ended):
            with self._lock:
                self._connection = None
        self._parts.put(part)


def split_prelude(data: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Return status and headers (`statusCode`, `headers`, …) and what follows them; None if more must come.

    Raises:
        ValueError: It is no beginning of a streamed answer.
    """
    head, found, rest = data.partition(SEPARATOR)
    if not found and len(head) <= MAX_PRELUDE_BYTES:
        return None
    read = json.loads(head[:MAX_PRELUDE_BYTES])
    if not isinstance(read, dict) or not isinstance(read.get("statusCode"), int):
        raise ValueError("a streamed answer begins with a JSON object that has a statusCode")
    return read, rest


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
