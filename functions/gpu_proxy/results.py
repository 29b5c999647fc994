"""What SageMaker says came of a request that nobody waited for: its job ends with it.

A notice names where the request lay, which names the job. It may come twice, and long after the job was
cancelled: a job has one end. Where a store is away the notice is to come again.

| notice | the job |
|---|---|
| `Completed` | `succeeded`, with the container's answer |
| `Failed`, the container answered | `failed`, with its status and body |
| `Failed`, no answer (time-out, no instance, expired) | `failed`, with SageMaker's reason and status 504 |

Whoever is to be told of the end is told by the queue of webhooks, as of any job's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from functions.gpu_proxy.notices import read_notice
from functions.gpu_proxy.requests import from_container
from hotplate.aws.endpoint import EndpointAnswer
from hotplate.errors import JobNotFoundError, StoreNotFoundError, StoreUnavailableError

if TYPE_CHECKING:
    from functions.gpu_proxy.breaker import Breaker
    from functions.gpu_proxy.notices import Notice
    from hotplate.aws.job_files import JobFiles
    from hotplate.aws.job_queue import JobQueue
    from hotplate.aws.job_table import Job, JobTable

__all__ = ["OUTPUT_PREFIX", "Results"]

# Where the endpoint puts answers. No tenant's folder can have this name: `=` begins two hex digits there.
OUTPUT_PREFIX = "results/=endpoint/"
# Longest body of an error that is kept in the table, in bytes; as of other jobs.
MAX_ERROR_BYTES = 8192
_STATUS = re.compile(r"error \((\d{3})\)")


class Results:
    """Ends jobs."""

    def __init__(
        self, endpoint: str, table: JobTable, files: JobFiles, told: JobQueue, breaker: Breaker
    ) -> None:
        """Take the endpoint's name, where jobs are kept, the queue of ends to be told, and the breaker."""
        self._endpoint = endpoint
        self._table = table
        self._told = told
        self._files = files
        self._breaker = breaker

    def take(self, message: str) -> None:
        """End the job that a notice is about.

        Raises:
            ValueError: It is no notice, or names what is not this stack's; it would be so the next time too.
            StoreError: Table or bucket are not to be had, or another holds the job; it is to come again.
        """
        notice = read_notice(message, self._endpoint)
        reference = self._files.reference_of(notice.asked.input)
        if notice.inference not in (None, reference.id):
            raise ValueError(f"inference {str(notice.inference)[:80]!r} is not that of job {reference.id!r}")
        try:
            job = self._table.get(reference.tenant, reference.id)
        except JobNotFoundError:
            return
        if job.made != reference.made:
            return
        # Read first: what is no answer of the endpoint's must not hold the job.
        body = self._body_of(notice)
        held = self._table.start(job)
        if held is None:
            found = self._table.get(job.tenant, job.id)
            if found.state in ("queued", "running"):
                raise StoreUnavailableError(f"job {job.id}: another notice of it is being worked on")
            self._tell(found)  # who ended it may have been killed before it could
        elif notice.is_completed:
            kind = notice.answered.content_type if notice.answered else None
            self._tell(self._keep(held, body, kind or "application/json"))
        else:
            self._tell(self._fail(held, body, notice.reason or "no reason was given"))

    def _tell(self, job: Job | None) -> None:
        """Have the receiver told of a job that has ended, if there is one."""
        if job and job.is_to_be_told:
            self._told.send(job)

    def _keep(self, job: Job, body: bytes, kind: str) -> Job | None:
        body, headers, kind = from_container(EndpointAnswer(200, body, kind))
        if not self._files.put_answer(job, body, kind):
            body = self._files.answer(job)  # of an earlier notice, whose work broke off
        self._breaker.succeeded()
        answer = {"bytes": len(body), "headers": {"content-type": kind, **headers}}
        return self._table.finish(job, "succeeded", answer=answer)

    def _fail(self, job: Job, body: bytes, reason: str) -> Job | None:
        found = _STATUS.search(reason)
        status = int(found[1]) if found else 504
        if status >= 500:
            self._breaker.failed()
        text = (body or reason.encode())[:MAX_ERROR_BYTES].decode(errors="replace")
        return self._table.finish(job, "failed", error={"status": status, "body": text})

    def _body_of(self, notice: Notice) -> bytes:
        place = notice.answered and (
            notice.answered.output if notice.is_completed else notice.answered.failure
        )
        if not place:
            return b""
        try:
            return self._files.get_uri(place, OUTPUT_PREFIX)
        except StoreNotFoundError:
            if notice.is_completed:
                raise
            return b""  # SageMaker names the place also where it had nothing to put there
