"""What SageMaker says came of a request that nobody waited for: its job ends with it.

A notice names where the request lay, which names the job. It may come twice, and long after the job was
cancelled: a job has one end. Where a store is away the notice is to come again.

| notice | the job |
|---|---|
| `Completed` | `succeeded`, with the container's answer |
| `Failed`, the container answered | `failed`, with its status and body |
| `Failed`, no answer (time-out, no instance, expired) | `failed`, with SageMaker's reason and status 504 |

Source: Amazon SageMaker Developer Guide, "Check asynchronous endpoint invocation results", SNS notifications.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from functions.gpu_proxy.requests import from_container
from hotplate.aws.endpoint import EndpointAnswer
from hotplate.errors import JobNotFoundError, StoreNotFoundError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.gpu_proxy.breaker import Breaker
    from hotplate.aws.job_files import JobFiles
    from hotplate.aws.job_table import Job, JobTable

__all__ = ["OUTPUT_PREFIX", "Results"]

# Where the endpoint puts answers. No tenant's folder can have this name: `=` begins two hex digits there.
OUTPUT_PREFIX = "results/=endpoint/"
# Longest body of an error that is kept in the table, in bytes; as of other jobs.
MAX_ERROR_BYTES = 8192
_STATUS = re.compile(r"error \((\d{3})\)")


class Results:
    """Ends jobs."""

    def __init__(self, table: JobTable, files: JobFiles, breaker: Breaker) -> None:
        self._table = table
        self._files = files
        self._breaker = breaker

    def take(self, message: str) -> None:
        """End the job that a notice is about.

        Raises:
            ValueError: It is no notice, or names what is not this stack's; it would be so the next time too.
            StoreError: Table or bucket are not to be had, or another holds the job; it is to come again.
        """
        notice = _read(message)
        reference = self._files.reference_of(notice["requestParameters"]["inputLocation"])
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
            if self._table.get(job.tenant, job.id).state in ("queued", "running"):
                raise StoreUnavailableError(f"job {job.id}: another notice of it is being worked on")
            return
        if _is_completed(notice):
            self._keep(held, body, notice["responseParameters"].get("contentType") or "application/json")
        else:
            self._fail(held, body, str(notice.get("failureReason", "no reason was given")))

    def _keep(self, job: Job, body: bytes, kind: str) -> None:
        body, headers, kind = from_container(EndpointAnswer(200, body, kind))
        if not self._files.put_answer(job, body, kind):
            body = self._files.answer(job)  # of an earlier notice, whose work broke off
        self._breaker.succeeded()
        answer = {"bytes": len(body), "headers": {"content-type": kind, **headers}}
        self._table.finish(job, "succeeded", answer=answer)

    def _fail(self, job: Job, body: bytes, reason: str) -> None:
        found = _STATUS.search(reason)
        status = int(found[1]) if found else 504
        if status >= 500:
            self._breaker.failed()
        text = (body or reason.encode())[:MAX_ERROR_BYTES].decode(errors="replace")
        self._table.finish(job, "failed", error={"status": status, "body": text})

    def _body_of(self, notice: Mapping[str, Any]) -> bytes:
        given = notice.get("responseParameters") or {}
        if _is_completed(notice):
            return self._files.get_uri(given["outputLocation"], OUTPUT_PREFIX)
        if not (uri := given.get("failureLocation")):
            return b""
        try:
            return self._files.get_uri(uri, OUTPUT_PREFIX)
        except StoreNotFoundError:  # SageMaker names the place also where it had nothing to put there
            return b""


def _is_completed(notice: Mapping[str, Any]) -> bool:
    return notice.get("invocationStatus") == "Completed"


def _read(message: str) -> dict[str, Any]:
    notice = orjson.loads(message)
    if not isinstance(notice, dict) or not isinstance(notice.get("requestParameters"), dict):
        raise ValueError("no notice of SageMaker")
    return notice
