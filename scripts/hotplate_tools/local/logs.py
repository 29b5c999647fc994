"""The functions' logs in the local cloud, read by the calls that read them on AWS."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hotplate_tools.local.deploy import client

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Line", "LogTail", "readable"]


# A line may be delivered this much after the time it bears: a function's longest run, twice (ms).
LATE_MS = 60_000


class Line(NamedTuple):
    """One event of a function's log: when (ms since 1970), which function, what."""

    timestamp_ms: int
    function: str
    message: str


class LogTail:
    """What the functions logged since the last look.

    Args:
        endpoint: Of the local cloud.
        groups: Log group by the function's logical id.
    """

    def __init__(self, endpoint: str, groups: Mapping[str, str]) -> None:
        self._client = client("logs", endpoint)
        self._groups = groups
        self._since_ms = 0
        self._seen: Counter[tuple[str, Line]] = Counter()

    def new(self) -> list[Line]:
        """Return the new lines of all functions, oldest first."""
        now_ms = int(time.time() * 1000)
        found: Counter[tuple[str, Line]] = Counter()
        lines = []
        # The local cloud gives events no id: of equal lines in one stream, as many are new as there are
        # more than at the last look.
        for stream, line in self._events():
            found[stream, line] += 1
            if found[stream, line] > self._seen[stream, line]:
                lines.append(line)
        self._seen = found
        self._since_ms = now_ms - LATE_MS
        return sorted(lines, key=lambda line: line.timestamp_ms)

    def _events(self) -> Iterator[tuple[str, Line]]:
        paginator = self._client.get_paginator("filter_log_events")
        for function, group in self._groups.items():
            for page in paginator.paginate(logGroupName=group, startTime=self._since_ms):
                for event in page["events"]:
                    line = Line(event["timestamp"], function, event["message"].rstrip("\n"))
                    yield event["logStreamName"], line


def readable(message: str) -> str | None:
    """Return one line for people, or None for what only says that an invocation began or ended.

    A JSON record is shown as its level, its message, then whatever else it holds that is a number or
    a short text.
    """
    if message.startswith(("START ", "END ", "REPORT ")):
        return None
    try:
        record = json.loads(message)
    except ValueError:
        return message
    if not isinstance(record, dict):
        return message
    head = " ".join(str(record.pop(key)) for key in ("level", "message") if key in record)
    rest = (f"{key}={value}" for key, value in record.items() if isinstance(value, int | float | str))
    return " ".join(filter(None, [head, *rest]))
