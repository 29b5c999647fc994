"""The API of jobs: submit, ask, cancel. A caller sees the jobs of its own tenant; others are not there.

A job is written to the table, then its request to the bucket, then a reference to the queue. The table comes
first because it decides who has the id: nobody overwrites another's request. If we end in between, the job is
queued in the table and nobody works on it; the same `PUT` again finds it there, and writes and sends again.
A second message does no harm, because a job is started by one worker. Of a `POST` that broke off nobody knows
the id, so nobody waits for that job, and DynamoDB removes it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import orjson

from functions.jobs.submission import (
    caller_context,
    handed_on,
    read_id,
    read_submission,
)
from hotplate.errors import JobConflictError, UnknownPathError
from hotplate.http.caller import caller_of, refuse_spent
from hotplate.http.event import HttpRequest, HttpResponse
from hotplate.http.forwarding import allowed_models, refuse_unknown
from hotplate.http.preferences import APPLIED
from hotplate.tenants.usage import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from functions.jobs.submission import Submission
    from hotplate.aws.job_files import JobFiles
    from hotplate.aws.job_queue import JobQueue
    from hotplate.aws.job_table import Job, JobTable
    from hotplate.http.webhooks import Webhooks

__all__ = ["INLINE_BYTES", "JobRequests"]

# An answer of at most so many bytes is in the status itself, beside its address. Ours.
INLINE_BYTES = 64 * 1024
# By which a caller who prefers not to wait names the job.
_ID_HEADER = "idempotency-key"


class JobRequests:
    """Answers requests about jobs."""

    def __init__(
        self,
        table: JobTable,
        files: JobFiles,
        queue: JobQueue,
        told: JobQueue,
        webhooks: Webhooks,
        models: Sequence[str],
    ) -> None:
        """Take where jobs are kept, their queue, that of ends to be told, and the models' names."""
        self._table = table
        self._files = files
        self._queue = queue
        self._told_queue = told
        self._webhooks = webhooks
        self._models = models

    def answer(self, request: HttpRequest, event: Mapping[str, Any]) -> HttpResponse:
        """Return the answer.

        Raises:
            RequestError: No such path, or a body that is no submission.
            CallerError: The tenant has used up the month, and wants to submit.
            ModelNotFoundError: The model is not there, or not for this caller.
            JobError: There is no such job, or it is not as the caller thinks.
            StoreError: Table, bucket or queue are not to be had.
        """
        caller = caller_of(event)
        tenant = caller.tenant or INTERNAL
        if request.method in ("POST", "PUT"):
            refuse_spent(caller)
        subject = request.headers.get("hotplate-subject")
        match request.method, request.segments:
            case "POST", ("jobs",):
                return self._submit(
                    tenant, secrets.token_hex(16), read_submission(request.body, subject), event
                )
            case "PUT", ("jobs", job):
                return self._submit(
                    tenant, read_id(job, new=True), read_submission(request.body, subject), event
                )
            case "GET", ("jobs", job):
                return self._told(self._table.get(tenant, read_id(job, new=False)), 200)
            case "DELETE", ("jobs", job):
                return self._cancel(self._table.get(tenant, read_id(job, new=False)))
        if request.segments[:1] != ("jobs",):
            return self._take(tenant, request, event)
        raise UnknownPathError(
            "path",
            expected="POST /jobs, or PUT, GET, DELETE /jobs/ID",
            received=f"{request.method} /{'/'.join(request.segments)}"[:200],
        )

    def _take(self, tenant: str, request: HttpRequest, event: Mapping[str, Any]) -> HttpResponse:
        """Take a request for a model, which the model's function handed on: API Gateway sends none here."""
        key = request.headers.get(_ID_HEADER)
        name = secrets.token_hex(16) if key is None else read_id(key, new=True)
        asked = handed_on(request, event["path"], allowed_models(caller_of(event), self._models))
        answer = self._submit(tenant, name, asked, event)
        return HttpResponse(answer.status, answer.body, {**answer.headers, **APPLIED})

    def _submit(self, tenant: str, name: str, asked: Submission, event: Mapping[str, Any]) -> HttpResponse:
        refuse_unknown(asked.model, allowed_models(caller_of(event), self._models))
        if asked.webhook:
            self._webhooks.check(tenant, asked.webhook)
        job = self._table.add(
            tenant,
            name,
            digest=asked.digest,
            caller=caller_context(event),
            model=asked.model,
            version=asked.version,
            path=asked.path,
            headers=asked.headers,
            webhook=asked.webhook,
        )
        if job.state == "queued":
            self._files.put_request(job, asked.request)
            self._queue.send(job)
        return self._told(job, 202)

    def _cancel(self, job: Job) -> HttpResponse:
        done = self._table.cancel(job) or self._table.get(job.tenant, job.id)
        if done.state != "cancelled":
            raise JobConflictError(f"job {job.id!r} has {done.state} already; it cannot be cancelled")
        if done.is_to_be_told:
            self._told_queue.send(done)
        return self._told(done, 200)

    def _told(self, job: Job, status: int) -> HttpResponse:
        told = job.status()
        if job.state == "succeeded":
            told["answer"] = {**job.answer, "url": self._files.answer_url(job)}
            is_json = job.answer["headers"].get("content-type") == "application/json"
            if is_json and job.answer["bytes"] <= INLINE_BYTES:
                # As it is: read and written again it might not be the same, byte by byte.
                told["answer"]["body"] = orjson.Fragment(self._files.answer(job))
        waits = job.state in ("queued", "running")
        headers = {"location": f"/jobs/{job.id}", **({"retry-after": "1"} if waits else {})}
        return HttpResponse(status, orjson.dumps(told), headers)
