"""Runs of batch in their DynamoDB table: one row a run, one a piece of work that was done.

| `pk` | `sk` | holds |
|---|---|---|
| `run#<id>` | `run` | the run: what is asked, its state, what is counted so far |
| `run#<id>` | `piece#<chunk>#<piece>` | what became of a piece of a chunk: part and counts, or why not |
| `input#<key>` | `latest` | the run of the object that lies there now |

```
splitting ──planned──▶ running ──hold──▶ finishing ──end──▶ succeeded | failed_chunks
    │                    │  ▲             │  ▲ │
    └──fail──▶ failed ◀──┼──┼─────────────┘  └─┘ held again, when who held it was killed
                cancelled┘  └── again: a run that ended otherwise than well goes on; again_rows: one that
                                 succeeded, but for rows on which its model failed
```

Rules kept:

1. A step is one conditional write: of two that are taken at once one happens.
2. A piece and the counts of its run are written in one transaction. Work that comes again finds its piece, so
   a piece is counted once, whatever is repeated, late, out of order or broken off.
3. A piece that failed gives way only to a later `round`: `again` begins one. So does one that is done of
   which rows are asked again: `again_rows` begins that.

Source: Amazon DynamoDB Developer Guide, "Condition expressions", "Managing complex workflows with
transactions".
"""

from __future__ import annotations

import random
import secrets
import time
from typing import TYPE_CHECKING, Any

import msgspec
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from hotplate.aws.batch_rows import ENDED, RUN_S, Piece, Run, piece_of, run_item, run_of
from hotplate.aws.faults import table_faults
from hotplate.aws.row_step import step_row
from hotplate.errors import BatchRunNotFoundError, StoreConflictError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["BatchTable"]

# How long a finisher holds a run, in seconds: longer than the function may run (template: 900), shorter than
# its message stays hidden (960), so that a message that comes back finds the run free.
HELD_S = 930
# Attempts at a transaction that others are in the way of, and the pause before the second, in seconds.
_ATTEMPTS = 8
_FIRST_PAUSE_S = 0.05
_COUNTED = ("done", "failed", "predicted", "bad")
_TO = TypeSerializer()


class BatchTable:
    """The table `name`, reached by a client of DynamoDB; `now` gives seconds since 1970."""

    def __init__(self, client: Any, name: str, *, now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._name = name
        self._now = now

    def now(self) -> int:
        """Return the seconds since 1970."""
        return int(self._now())

    def begin(self, run: Run) -> Run:
        """Return the run of this id, made now or there already.

        Raises:
            StoreError: The table cannot be read or written.
        """
        now = self.now()
        new = msgspec.structs.replace(run, created=now, updated=now, gone_at=now + RUN_S)
        try:
            with table_faults(self._name):
                self._client.put_item(
                    TableName=self._name,
                    Item={**_key(run.id, "run"), **run_item(new)},
                    # DynamoDB may take days to remove what has run out.
                    ConditionExpression="attribute_not_exists(pk) OR gone_at <= :now",
                    ExpressionAttributeValues={":now": _TO.serialize(now)},
                )
        except StoreConflictError:
            return self.get(run.id)
        return new

    def get(self, run: str) -> Run:
        """Return the run of this id.

        Raises:
            BatchRunNotFoundError: There is none (any more).
            StoreError: The table cannot be read.
        """
        item = self._item(_key(run, "run"))
        if item is None:
            raise BatchRunNotFoundError(f"unknown run {run[:80]!r}")
        return run_of(item)

    def point(self, run: Run) -> None:
        """Say that this run is about what lies at its key now."""
        item = {"run": run.id, "etag": run.etag, "gone_at": run.gone_at}
        row = {name: _TO.serialize(value) for name, value in item.items()}
        with table_faults(self._name):
            self._client.put_item(TableName=self._name, Item={**_input(run.key), **row})

    def latest(self, key: str) -> tuple[str, str] | None:
        """Return the id of the run about what lies at `key`, and its entity tag; None if there is none."""
        item = self._item(_input(key))
        return None if item is None else (item["run"]["S"], item["etag"]["S"])

    def planned(self, run: Run, *, chunks: int) -> Run | None:
        """Say how many chunks there are; None if that is known, or nobody wants to know any more."""
        return self._step(run, "#state = :splitting", state="running", chunks=chunks)

    def sent(self, run: Run, *, mapped: bool) -> None:
        """Say that every piece which is to be done in this round has its message, or is in the map's list."""
        self._step(run, "#round = :round", sent=True, mapped=mapped)

    def fail(self, run: Run, reason: str) -> Run | None:
        """End a run that cannot go on; None if it has ended."""
        return self._step(run, _LIVES, state="failed", reason=reason, ended=self.now())

    def cancel(self, run: Run) -> Run | None:
        """Cancel a run; None if it has ended. What works on it ends without effect."""
        return self._step(run, _LIVES, state="cancelled", ended=self.now())

    def again(self, run: Run, *, well: bool = False) -> Run | None:
        """Begin another round of a run that ended, `well` or not; None if it has not, or that has begun."""
        ended = ":succeeded" if well else ":failed, :failed_chunks, :cancelled"
        return self._step(
            run,
            f"#round = :round AND #state IN ({ended})",
            state="running" if run.chunks >= 0 else "splitting",
            round=run.round + 1,
            failed=0,
            # Where rows were to be asked again every piece is done, whatever became of that.
            done=run.chunks if run.is_again else run.done,
            sent=False,
            is_again=False,
            reason="",
            ended=0,
            held_until=0,
        )

    def again_rows(self, run: Run, *, pieces: int) -> Run | None:
        """Begin a round of a run that succeeded, in which so many pieces are asked again; None as `again`."""
        return self._step(
            run,
            "#round = :round AND #state = :succeeded",
            state="running",
            round=run.round + 1,
            done=run.done - pieces,
            sent=False,
            is_again=True,
            reason="",
            ended=0,
            held_until=0,
        )

    def hold(self, run: Run) -> Run | None:
        """Hold a run whose pieces are all done, to finish it; None if it has ended or somebody holds it."""
        return self._step(
            run,
            "#state = :running OR (#state = :finishing AND held_until <= :now)",
            state="finishing",
            holder=secrets.token_hex(8),
            held_until=self.now() + HELD_S,
        )

    def end(self, run: Run, state: str, reason: str = "") -> Run | None:
        """End a run that the caller holds; None if it does not (any more), as when it was cancelled."""
        return self._step(
            run,
            "#state = :finishing AND holder = :holder",
            state=state,
            reason=reason,
            ended=self.now(),
        )

    def piece(self, run: str, chunk: int, piece: int) -> Piece | None:
        """Return what became of a piece; None if nothing yet.

        Raises:
            StoreError: The table cannot be read.
        """
        item = self._item(_key(run, _piece_key(chunk, piece)))
        return None if item is None else piece_of(item)

    def pieces(self, run: str) -> Iterator[Piece]:
        """Yield what is known of a run's pieces, in the order of its rows.

        Raises:
            StoreError: The table cannot be read.
        """
        with table_faults(self._name):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._name,
                ConsistentRead=True,
                KeyConditionExpression="pk = :run AND begins_with(sk, :piece)",
                ExpressionAttributeValues={":run": {"S": f"run#{run}"}, ":piece": {"S": "piece#"}},
            )
            now = self.now()
            for page in pages:
                # DynamoDB takes days to remove what has expired, and a run of the same input has the same id.
                yield from (piece_of(item) for item in page["Items"] if int(item["gone_at"]["N"]) > now)

    def mark(self, run: Run, piece: Piece, was: Piece | None = None) -> bool:
        """Keep what became of a piece and count it; False if that was done before.

        Args:
            run: Whose it is.
            piece: What is kept.
            was: What it takes the place of, where rows of a piece that is done were asked again.

        Raises:
            StoreError: The table cannot be written; nothing was.
        """
        counts = {":done": 0, ":failed": 0, ":predicted": piece.predicted, ":bad": piece.bad}
        if piece.state == "failed":
            counts |= {":failed": 1, ":round": piece.round}
        elif not piece.remainder:
            counts[":done"] = 1
        if was is not None:
            told = {":done": 1, ":predicted": piece.predicted - was.predicted, ":bad": piece.bad - was.bad}
            counts |= told | {":round": piece.round}
        counts[":now"] = self.now()
        row = {"state": piece.state, "round": piece.round, "gone_at": run.gone_at}
        body = {"body": {"S": msgspec.json.encode(piece).decode()}}
        item = {name: _TO.serialize(value) for name, value in row.items()} | body
        put = {
            "TableName": self._name,
            "Item": {**_key(run.id, _piece_key(piece.chunk, piece.piece)), **item},
            "ConditionExpression": "attribute_not_exists(pk) OR gone_at <= :now"
            " OR (#state = :was AND #round < :round)",
            "ExpressionAttributeNames": {"#state": "state", "#round": "round"},
            "ExpressionAttributeValues": {
                ":was": {"S": was.state if was else "failed"},
                ":round": {"N": str(piece.round)},
                ":now": {"N": str(self.now())},
            },
        }
        update = {
            "TableName": self._name,
            "Key": _key(run.id, "run"),
            "UpdateExpression": "SET updated = :now ADD " + ", ".join(f"{name} :{name}" for name in _COUNTED),
            # What failed, or is asked again, counts in its own round only: the next one counts anew.
            "ConditionExpression": "#round = :round" if ":round" in counts else "attribute_exists(pk)",
            **({"ExpressionAttributeNames": {"#round": "round"}} if ":round" in counts else {}),
            "ExpressionAttributeValues": {name: {"N": str(count)} for name, count in counts.items()},
        }
        return self._transact([{"Put": put}, {"Update": update}])

    def _transact(self, items: list[Mapping[str, Any]]) -> bool:
        """Write all of it, or return False because the first is there."""
        pause = _FIRST_PAUSE_S
        for _ in range(_ATTEMPTS):
            try:
                with table_faults(self._name):
                    self._client.transact_write_items(TransactItems=items)
            except StoreUnavailableError as fault:
                codes = _codes(fault.__cause__)
                if codes and codes[0] == "ConditionalCheckFailed":
                    return False
                if "ConditionalCheckFailed" in codes:
                    raise BatchRunNotFoundError("the run is gone, or in another round") from fault
            else:
                return True
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            pause *= 2
        raise StoreUnavailableError(f"dynamodb:{self._name}: others were in the way {_ATTEMPTS} times")

    def _item(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        with table_faults(self._name):
            found: dict[str, Any] | None = self._client.get_item(
                TableName=self._name, Key=key, ConsistentRead=True
            ).get("Item")
        return found if found and int(found["gone_at"]["N"]) > self._now() else None

    def _step(self, run: Run, condition: str, **changed: Any) -> Run | None:
        now = self.now()
        known = {"round": run.round, "holder": run.holder, "now": now}
        known |= {state: state for state in ("splitting", "running", "finishing", *ENDED)}
        changed["updated"] = now
        key = _key(run.id, "run")
        row = step_row(self._client, self._name, key, condition, known=known, changed=changed)
        return None if row is None else run_of(row)


_LIVES = "#state IN (:splitting, :running, :finishing)"


def _key(run: str, row: str) -> dict[str, Any]:
    return {"pk": {"S": f"run#{run}"}, "sk": {"S": row}}


def _input(key: str) -> dict[str, Any]:
    return {"pk": {"S": f"input#{key}"}, "sk": {"S": "latest"}}


def _piece_key(chunk: int, piece: int) -> str:
    return f"piece#{chunk:09d}#{piece:06d}"


def _codes(fault: BaseException | None) -> list[str]:
    """Return why each item of a transaction was not written."""
    if not isinstance(fault, ClientError):
        return []
    reasons: Any = fault.response.get("CancellationReasons", [])
    return [reason.get("Code", "None") for reason in reasons]
