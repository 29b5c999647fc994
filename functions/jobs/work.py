"""Works on jobs that the queue names: the model's own function is asked, as its caller would have asked it.

| what comes of it | the job | the message |
|---|---|---|
| an answer below 400 | `succeeded` | is done |
| 4xx: the same request would be refused again | `failed`, with the model's answer | is done |
| 429, 5xx, no answer | `queued` again | comes back after 2, 4, 8 … minutes; the fifth time it is given up |
| this worker is killed | `running`, held for a while | comes back, when the job is free |
| given up | `failed`, with what went wrong last | is done |
| the job was cancelled, has ended, or is gone | as it is | is done |
| another holds the job | as it is | comes back: that one may be killed yet |
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Literal

import orjson

from functions.jobs.submission import JSON, infer_path
from hotplate.errors import JobNotFoundError, StepError
from hotplate.http.answers import answer_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.aws.job_files import JobFiles
    from hotplate.aws.job_queue import JobQueue, JobReference
    from hotplate.aws.job_table import Job, JobTable
    from hotplate.http.forwarding import Models

__all__ = ["MAX_ERROR_BYTES", "JobWorker", "Outcome"]

# What becomes of a message: it is gone; it comes back, later each time; it comes back when the queue says.
type Outcome = Literal["done", "failed", "held"]

# Longest body of an error that is kept in the table, in bytes; an item holds 400 kB. Ours.
MAX_ERROR_BYTES = 8192
_AGAIN = 429
# What of an answer's headers its reader needs: the rest is of the call, not of the answer.
_HEADERS = ("content-type", "inference-header-content-length")


class JobWorker:
    """Works on jobs."""

    def __init__(self, table: JobTable, files: JobFiles, models: Models, told: JobQueue) -> None:
        """Take where jobs are kept, who is asked, and the queue of jobs whose end is to be told."""
        self._table = table
        self._files = files
        self._models = models
        self._told = told

    def work(self, reference: JobReference, request_id: str = "") -> Outcome:
        """Do a job; return what is to become of its message. `request_id` is for errors of our own.

        Raises:
            StoreError: Table or bucket are not to be had; the message is to come again.
        """
        found = self._found(reference)
        if found is None:
            return "done"
        job = self._table.start(found)
        if job is None:
            return "done" if self._has_ended(reference) else "held"
        try:
            result = self._models.ask(job.model, _event(job, self._files.request(job)))
        except StepError as fault:
            answer = answer_error(fault, None, request_id)
            return self._later(job, answer.status, _text(answer.body))
        status, body = int(result["statusCode"]), _body(result)
        if status >= 500 or status == _AGAIN:
            return self._later(job, status, _text(body))
        if status >= 400:
            self._tell(self._table.finish(job, "failed", error={"status": status, "body": _text(body)}))
        else:
            self._tell(self._keep(job, result, body))
        return "done"

    def give_up(self, reference: JobReference) -> bool:
        """End a job whose message came too often; return whether its message is done.

        Raises:
            StoreError: The table is not to be had; the message is to come again.
        """
        job = self._found(reference)
        if job is None:
            return True
        error = job.error or {"status": 500, "body": "its worker ended before it was done"}
        buried = self._table.bury(job, error)
        self._tell(buried)
        return buried is not None or self._has_ended(reference)

    def _found(self, reference: JobReference | Job) -> Job | None:
        """Return the job that a message is about; None if there is none, or a later one of this id."""
        try:
            job = self._table.get(reference.tenant, reference.id)
        except JobNotFoundError:
            return None
        return job if job.made == reference.made else None

    def _has_ended(self, reference: JobReference | Job) -> bool:
        job = self._found(reference)
        self._tell(job)  # who ended it may have been killed before it could
        return job is None or job.state not in ("queued", "running")

    def _tell(self, job: Job | None) -> None:
        """Have the receiver told of a job that has ended, if there is one."""
        if job and job.is_to_be_told:
            self._told.send(job)

    def _later(self, job: Job, status: int, body: str) -> Outcome:
        """Give the job back; done only if nobody wants it any more."""
        if self._table.release(job, {"status": status, "body": body}):
            return "failed"
        return "done" if self._has_ended(job) else "held"

    def _keep(self, job: Job, result: Mapping[str, Any], body: bytes) -> Job | None:
        given = {name.lower(): value for name, value in result["headers"].items()}
        headers = {name: str(given[name]) for name in _HEADERS if name in given}
        if not self._files.put_answer(job, body, headers["content-type"]):
            # A worker before us wrote one and was killed before it could say so: that is the answer.
            body = self._files.answer(job)
        return self._table.finish(job, "succeeded", answer={"bytes": len(body), "headers": headers})


def _event(job: Job, request: bytes) -> dict[str, Any]:
    """Return the event by which the model's function is asked what the job asks, for the job's caller."""
    return {
        "httpMethod": "POST",
        "path": job.path or infer_path(job.model, job.version),  # none in rows of an older hotplate
        "headers": dict(job.headers) or JSON,
        "body": base64.b64encode(request).decode(),
        "isBase64Encoded": True,
        "requestContext": orjson.loads(job.caller),
    }


def _body(result: Mapping[str, Any]) -> bytes:
    text = result.get("body") or ""
    return base64.b64decode(text) if result.get("isBase64Encoded") else text.encode()


def _text(body: bytes) -> str:
    return body[:MAX_ERROR_BYTES].decode(errors="replace")
