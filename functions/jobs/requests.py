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

from functions.jobs.submission import caller_context, read_id, read_submission, status_of_job
from hotplate.errors import JobConflictError, UnknownPathError
from hotplate.http.caller import caller_of, refuse_spent
from hotplate.http.event import HttpRequest, HttpResponse
from hotplate.http.forwarding import allowed_models, refuse_unknown
from hotplate.tenants.usage import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.aws.job_files import JobFiles
    from hotplate.aws.job_queue import JobQueue
    from hotplate.aws.job_table import Job, JobTable

__all__ = ["INLINE_BYTES", "JobRequests"]

# An answer of at most so many bytes is in the status itself, beside its address. Ours.
INLINE_BYTES = 64 * 1024


class JobRequests:
    """Answers requests about jobs."""

    def __init__(self, table: JobTable, files: JobFiles, queue: JobQueue, models: Sequence[str]) -> None:
        self._table = table
        self._files = files
        self._queue = queue
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
        tenant = caller_of(event).tenant or INTERNAL
        match request.method, request.segments:
            case "POST", ("jobs",):
                return self._submit(tenant, secrets.token_hex(16), request.body, event)
            case "PUT", ("jobs", job):
                return self._submit(tenant, read_id(job, new=True), request.body, event)
            case "GET", ("jobs", job):
                return self._told(self._table.get(tenant, read_id(job, new=False)), 200)
            case "DELETE", ("jobs", job):
                return self._cancel(self._table.get(tenant, read_id(job, new=False)))
        raise UnknownPathError(
            "path",
            expected="POST /jobs, or PUT, GET, DELETE /jobs/ID",
            received=f"{request.method} /{'/'.join(request.segments)}"[:200],
        )

    def _submit(self, tenant: str, name: str, body: bytes, event: Mapping[str, Any]) -> HttpResponse:
        caller = caller_of(event)
        refuse_spent(caller)
        asked = read_submission(body)
        refuse_unknown(asked.model, allowed_models(caller, self._models))
        job = self._table.add(
            tenant,
            name,
            digest=asked.digest,
            model=asked.model,
            version=asked.version,
            caller=caller_context(event),
        )
        if job.state == "queued":
            self._files.put_request(job, bytes(asked.request))
            self._queue.send(job)
        return self._told(job, 202)

    def _cancel(self, job: Job) -> HttpResponse:
        done = self._table.cancel(job) or self._table.get(job.tenant, job.id)
        if done.state != "cancelled":
            raise JobConflictError(f"job {job.id!r} has {done.state} already; it cannot be cancelled")
        return self._told(done, 200)

    def _told(self, job: Job, status: int) -> HttpResponse:
        told = status_of_job(job)
        if job.state == "succeeded":
            told["answer"] = {**job.answer, "url": self._files.answer_url(job)}
            is_json = job.answer["headers"].get("content-type") == "application/json"
            if is_json and job.answer["bytes"] <= INLINE_BYTES:
                # As it is: read and written again it might not be the same, byte by byte.
                told["answer"]["body"] = orjson.Fragment(self._files.answer(job))
        waits = job.state in ("queued", "running")
        headers = {"location": f"/jobs/{job.id}", **({"retry-after": "1"} if waits else {})}
        return HttpResponse(status, orjson.dumps(told), headers)
