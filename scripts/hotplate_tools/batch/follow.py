"""Follows a run to its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from hotplate_tools.batch.stack import BatchOfStack
    from hotplate_tools.console import Console

__all__ = ["ENDED", "begun", "follow"]

ENDED = ("succeeded", "failed", "failed_chunks", "cancelled")
_PAUSE_S = 1.0


def begun(stack: BatchOfStack, key: str, etag: str, options: str | None, *, wait_s: float) -> dict[str, Any]:
    """Return the status of the run of an object that was just put, as soon as there is one.

    Raises:
        FailedError: There is none after `wait_s` seconds.
    """
    until = time.monotonic() + wait_s
    while True:
        found = stack.find(key, etag, options)
        if found is not None:
            return found
        if time.monotonic() > until:
            raise FailedError(
                f"nobody began to predict {key} within {wait_s:g} s",
                advice="Its message is in the stack's queue of batch, or in the queue of what was given up.",
            )
        time.sleep(_PAUSE_S)


def follow(stack: BatchOfStack, status: dict[str, Any], console: Console) -> dict[str, Any]:
    """Show how far a run is until it has ended; return its status then."""
    run = status["run"]
    with console.rows(f"run {run}") as told:
        while status["state"] not in ENDED:
            chunks = status["chunks"]
            rows = status["rows"]["predicted"] + status["rows"]["failed"]
            told(rows, chunks["done"] + chunks["failed"], chunks["all"])
            time.sleep(_PAUSE_S)
            status = stack.ask("status", run)
    return status
