"""What a function says about itself: usage lines, cold ledgers, and a log for faults.

The two lines written on every path are written directly: at 160 µs a line the structured logger
would cost more than a small model's inference. The logger is imported when a fault is first
logged, so it costs a healthy cold start nothing. No line ever holds a payload or a credential.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools import Logger

__all__ = ["fault_log", "write_line"]


def write_line(kind: str, record: Mapping[str, Any]) -> None:
    """Write one JSON line `{"hotplate": kind, ...record}` to standard output, Lambda's log.

    Kinds in use: `usage` (one a request), `cold` (one an execution environment), `restored` (instead,
    for one made from a snapshot), `second session` (see `hotplate.runtime.staged`),
    `listening` (one a container of SageMaker, before its model is there).
    """
    line = orjson.dumps({"hotplate": kind, **record}, option=orjson.OPT_APPEND_NEWLINE)
    sys.stdout.write(line.decode())
    sys.stdout.flush()


@cache
def fault_log() -> Logger:
    """Return the logger for faults that an operator has to see."""
    from aws_lambda_powertools import Logger

    return Logger(service="hotplate")
