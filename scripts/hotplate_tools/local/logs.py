"""The functions' logs in the local cloud, read by the calls that read them on AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hotplate_tools.local.deploy import client

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Line", "LogTail", "readable"]


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
        self._seen: dict[str, set[str]] = {group: set() for group in groups.values()}

    def new(self) -> Iterator[Line]:
        """Yield the new lines of all functions, oldest first within a function."""
        for function, group in self._groups.items():
            pages = self._client.get_paginator("filter_log_events").paginate(logGroupName=group)
            for page in pages:
                for event in page["events"]:
                    if event["eventId"] not in self._seen[group]:
                        self._seen[group].add(event["eventId"])
                        yield Line(event["timestamp"], function, event["message"].rstrip("\n"))


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
