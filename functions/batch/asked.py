"""What the owner asks of runs, by calling the function: `{"ask": "status", "run": ID}`.

| `ask` | with | does |
|---|---|---|
| `find` | `key`, maybe `etag` | the run of what lies there now |
| `status` | `run` | |
| `cancel` | `run` | what has begun is not stopped, and without effect |
| `resume` | `run` | only what failed or is missing; of one that succeeded, rows on which the model failed |

The answer is the run's status, or `{"error": …, "status": …}`. Whoever may call the function may ask: no
route leads to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from functions.batch.reports import status_of_run
from hotplate.aws.batch_queue import RunMessage
from hotplate.errors import BatchRunNotFoundError, HotplateError
from hotplate.http.answers import status_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.aws.batch_map import ChunkMap
    from hotplate.aws.batch_queue import BatchQueue
    from hotplate.aws.batch_rows import Run
    from hotplate.aws.batch_table import BatchTable

__all__ = ["RunRequests"]


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ask: Literal["find", "status", "cancel", "resume"]
    run: str = ""
    key: str = ""
    etag: str = ""
    options: str | None = None


class RunRequests:
    """Answers what is asked of runs."""

    def __init__(self, table: BatchTable, queue: BatchQueue, chunk_map: ChunkMap) -> None:
        self._table = table
        self._queue = queue
        self._map = chunk_map

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer.

        Raises:
            StoreError: Table or queue are not to be had.
        """
        try:
            asked = msgspec.convert(event, _Asked)
        except msgspec.ValidationError as fault:
            return {"error": str(fault), "status": 400}
        try:
            return status_of_run(self._done(asked))
        except BatchRunNotFoundError as fault:
            return {"error": str(fault), "status": status_of(fault)}
        except _UnfitError as fault:
            return {"error": str(fault), "status": 409}

    def _done(self, asked: _Asked) -> Run:
        if asked.ask == "find":
            found = self._table.latest(asked.key)
            run = self._table.get(found[0]) if found and asked.etag in ("", found[1]) else None
            # The same bytes with other options are another run, and the one before may have ended already.
            if run is None or asked.options not in (None, run.options):
                raise BatchRunNotFoundError(f"no run of {asked.key[:200]!r} yet")
            return run
        run = self._table.get(asked.run)
        if asked.ask == "cancel":
            return self._cancel(run)
        return self._resume(run) if asked.ask == "resume" else run

    def _cancel(self, run: Run) -> Run:
        done = self._table.cancel(run) or self._table.get(run.id)
        if done.state != "cancelled":
            raise _UnfitError(f"run {run.id} has ended ({done.state}); it cannot be cancelled")
        if done.mapped:
            self._map.stop(done)
        return done

    def _resume(self, run: Run) -> Run:
        if not run.version:
            raise _UnfitError(f"run {run.id} never began: {run.reason}")
        begun = self._rows_again(run) if run.state == "succeeded" else self._table.again(run)
        again = begun or self._table.get(run.id)
        # One that goes on may have lost the message by which its pieces get theirs, or its state machine.
        what = "missed" if again.sent and again.mapped else "split"
        self._queue.send([RunMessage(what, again.id, again.round)])
        return again

    def _rows_again(self, run: Run) -> Run | None:
        latest = self._table.latest(run.key)
        if latest is None or latest[0] != run.id:
            raise _UnfitError(f"run {run.id} has succeeded, and another object lies at its key now")
        pieces = sum(each.again > 0 for each in self._table.pieces(run.id))
        if not pieces:
            raise _UnfitError(
                f"run {run.id} has succeeded; rows that its report counts as failed would be refused again"
            )
        return self._table.again_rows(run, pieces=pieces)


class _UnfitError(HotplateError):
    """What is asked does not fit the run."""
