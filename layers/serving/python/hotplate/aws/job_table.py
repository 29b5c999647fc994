"""Jobs in their DynamoDB table: one row a job, its key the tenant and the job's id.

```
queued ──start──▶ running ──finish──▶ succeeded | failed
  │ ▲──release─────┘ │                     bury: queued or left behind ──▶ failed
  └────cancel────────┴──▶ cancelled
```

Rules kept:

1. Every step is one conditional write, so of two that are taken at once one happens. What is ended stays so.
2. Who runs a job holds it by `run`, a random word, for `HELD_S`; only the holder may end or release it. A
   worker that was killed is not asked: when its time is over the job may be started again.
3. `made`, a random word too, tells a job from an earlier one of the same id, whose messages and files may
   still be about.

Source: Amazon DynamoDB Developer Guide, "Condition expressions".
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from hotplate.aws.faults import table_faults
from hotplate.aws.row_step import step_row
from hotplate.errors import JobConflictError, JobNotFoundError, StoreConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ENDED", "HELD_S", "JOB_S", "Job", "JobTable"]

# How long a job is kept, in seconds, counted from when it was made.
JOB_S = 7 * 86400
# How long a worker holds a job, in seconds: longer than the function may run (template: 45), shorter than its
# message stays hidden (120), so that a message that comes back finds the job free.
HELD_S = 60
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Job:
    """One row. Times are whole seconds since 1970.

    Attributes:
        tenant, id: Its key.
        made: Tells it from an earlier job of this id.
        digest: SHA-256 of what was asked: model, version and request.
        model, version: What is asked; version "" for whichever is served.
        caller: `requestContext` of the caller, JSON, as the model's function is to see it.
        path: Of the API, by which the model is asked.
        headers: That go with it.
        webhook: Who is told when it has ended; "" for nobody.
        told_at, told_status: When that was over, and the last status that came of it, 0 for none.
        created, updated: When it was made, when its state last changed.
        gone_at: When DynamoDB removes it.
        state: `queued`, `running` or one of `ENDED`.
        attempts: How often it was started.
        run, held_until: Who holds it, and how long.
        answer: Of a job that succeeded: `bytes` and `headers` of the answer.
        error: What went wrong, last or for good: `status` and `body`, the model's or ours.
    """

    tenant: str
    id: str
    made: str
    digest: str
    model: str
    version: str
    caller: str
    created: int
    updated: int
    gone_at: int
    state: str = "queued"
    attempts: int = 0
    run: str = ""
    held_until: int = 0
    answer: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    webhook: str = ""
    told_at: int = 0
    told_status: int = 0

    @property
    def is_to_be_told(self) -> bool:
        """Whether somebody wants to know that it has ended, and does not yet."""
        return bool(self.webhook) and self.state in ENDED and not self.told_at

    def status(self) -> dict[str, Any]:
        """Return what the caller is told of it, without its answer; times are seconds since 1970."""
        told: dict[str, Any] = {
            "id": self.id,
            "state": self.state,
            "model": self.model,
            "version": self.version or None,
            "created": self.created,
            "updated": self.updated,
            "expires": self.gone_at,
            "attempts": self.attempts,
        }
        if self.webhook:
            state = "waiting" if not self.told_at else "delivered" if self.told_status < 300 else "given up"
            told["webhook"] = {"url": self.webhook, "state": state, "status": self.told_status or None}
        return told | ({"error": self.error} if self.error else {})


class JobTable:
    """The table `name`, reached by a client of DynamoDB; `now` gives seconds since 1970."""

    def __init__(self, client: Any, name: str, *, now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._name = name
        self._now = now

    def add(self, tenant: str, job: str, *, digest: str, caller: str, **asked: Any) -> Job:
        """Return the job, made now or there already and the same.

        Args:
            tenant: Whose.
            job: Its id.
            digest: Of what is asked.
            caller: As in `Job`.
            asked: The other attributes of `Job` that say what is asked.

        Raises:
            JobConflictError: The id is that of a job that asks something else.
            StoreError: The table cannot be read or written.
        """
        now = int(self._now())
        made = secrets.token_hex(8)
        new = Job(
            tenant=tenant,
            id=job,
            made=made,
            digest=digest,
            caller=caller,
            created=now,
            updated=now,
            gone_at=now + JOB_S,
            **asked,
        )
        item = {each.name: getattr(new, each.name) for each in fields(Job)}
        row = {**_key(tenant, job), **{name: _TO.serialize(value) for name, value in item.items()}}
        try:
            with table_faults(self._name):
                self._client.put_item(
                    TableName=self._name,
                    Item=row,
                    # DynamoDB may take days to remove what has run out.
                    ConditionExpression="attribute_not_exists(pk) OR gone_at <= :now",
                    ExpressionAttributeValues={":now": _TO.serialize(now)},
                )
        except StoreConflictError:
            found = self.get(tenant, job)
            if found.digest != digest:
                raise JobConflictError(
                    f"job {job!r} is there and asks something else; take another id"
                ) from None
            return found
        return new

    def get(self, tenant: str, job: str) -> Job:
        """Return the tenant's job of this id.

        Raises:
            JobNotFoundError: The tenant has none.
            StoreError: The table cannot be read.
        """
        with table_faults(self._name):
            item = self._client.get_item(
                TableName=self._name, Key=_key(tenant, job), ConsistentRead=True
            ).get("Item")
        if item is None or int(item["gone_at"]["N"]) <= self._now():
            raise JobNotFoundError(f"unknown job {job[:80]!r}")
        return _job(item)

    def start(self, job: Job) -> Job | None:
        """Hold the job and return it as it is then; None if it has ended or somebody holds it."""
        return self._step(
            job,
            f"made = :made AND {_FREE}",
            count=True,
            state="running",
            run=secrets.token_hex(8),
            held_until=int(self._now()) + HELD_S,
        )

    def finish(
        self,
        job: Job,
        state: str,
        *,
        answer: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Job | None:
        """End a job that the caller holds; None if it does not (any more), as when it was cancelled."""
        return self._step(job, _HELD, state=state, answer=answer or {}, error=error or {})

    def release(self, job: Job, error: Mapping[str, Any]) -> Job | None:
        """Give back a job that the caller holds, to be started again; None as in `finish`."""
        return self._step(job, _HELD, state="queued", held_until=0, error=error)

    def bury(self, job: Job, error: Mapping[str, Any]) -> Job | None:
        """End a job that will not be started again; None if it has ended or somebody holds it."""
        return self._step(job, f"made = :made AND {_FREE}", state="failed", error=error)

    def cancel(self, job: Job) -> Job | None:
        """Cancel a job; None if it has ended. What runs it ends without effect."""
        return self._step(job, "made = :made AND #state IN (:queued, :running)", state="cancelled")

    def told(self, job: Job, status: int, *, is_over: bool) -> Job | None:
        """Note what came of telling the job's receiver; None if the job is not there any more.

        Args:
            job: Of `get`.
            status: Of the receiver's answer; 599 if there was none.
            is_over: Whether it is told, or given up.
        """
        changed: dict[str, Any] = {"told_status": status}
        changed |= {"told_at": int(self._now())} if is_over else {}
        return self._step(job, "made = :made", touch=False, **changed)

    def _step(
        self, job: Job, condition: str, *, count: bool = False, touch: bool = True, **changed: Any
    ) -> Job | None:
        now = int(self._now())
        known = {"made": job.made, "run": job.run, "queued": "queued", "running": "running", "now": now}
        row = step_row(
            self._client,
            self._name,
            _key(job.tenant, job.id),
            condition,
            known=known,
            changed=changed | ({"updated": now} if touch else {}),
            counted="attempts" if count else "",
        )
        return None if row is None else _job(row)


_TO, _FROM = TypeSerializer(), TypeDeserializer()
_FREE = "(#state = :queued OR (#state = :running AND held_until <= :now))"
_HELD = "#run = :run AND #state = :running"


def _key(tenant: str, job: str) -> dict[str, Any]:
    return {"pk": {"S": f"tenant#{tenant}"}, "sk": {"S": f"job#{job}"}}


def _job(item: Mapping[str, Any]) -> Job:
    # Rows of an older hotplate lack what came later.
    found = {each.name: _FROM.deserialize(item[each.name]) for each in fields(Job) if each.name in item}
    found = {name: int(value) if isinstance(value, Decimal) else value for name, value in found.items()}
    for name in ("answer", "error"):
        found[name] = {
            key: int(value) if key in ("bytes", "status") else value for key, value in found[name].items()
        }
    return Job(**found)
