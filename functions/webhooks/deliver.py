"""Tells the receiver of a job that it has ended: what is sent, how often, and when it is over.

| what comes of it | the message |
|---|---|
| 2xx | is done, the job says `delivered` |
| 410: nobody wants to know any more | is done, `given up` |
| an address that is not public | is done, `given up` |
| anything else, no answer in time | comes back after 10, 20, 40 s … 1 h; the 16th time: `given up` |
| the job is gone, or its receiver was told | is done |

A receiver may be told twice, as when this function is killed after it had its answer: both have the same id.

Source: Standard Webhooks specification 1.0.0.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from functions.webhooks.send import NotPublicError, NotReachedError
from hotplate.errors import JobNotFoundError
from hotplate.tenants.webhooks import sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hotplate.aws.job_queue import JobReference
    from hotplate.aws.job_table import Job, JobTable
    from hotplate.aws.webhook_secrets import WebhookSecrets

    type Post = Callable[[str, bytes, Mapping[str, str]], int]

__all__ = ["FIRST_WAIT_S", "MAX_TIMES", "NO_ANSWER", "Deliverer"]

# Seconds until a receiver that did not take it is told again, the first time; and how often, which is some
# seven hours. Ours.
FIRST_WAIT_S = 10
MAX_TIMES = 16
# What stands for the status of a receiver that gave none.
NO_ANSWER = 599
_GONE = 410


class Deliverer:
    """Delivers."""

    def __init__(
        self,
        table: JobTable,
        secrets: WebhookSecrets,
        post: Post,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take jobs, secrets, and what sends a body with headers and returns the status of the answer."""
        self._table = table
        self._secrets = secrets
        self._post = post
        self._now = now

    def deliver(self, reference: JobReference, times: int) -> bool:
        """Tell a job's receiver; return whether the message is done.

        Args:
            reference: To the job.
            times: How often the message has come, this time included.

        Raises:
            StoreError: Table or secrets are not to be had; the message is to come again.
        """
        try:
            job = self._table.get(reference.tenant, reference.id)
        except JobNotFoundError:
            return True
        if job.made != reference.made or not job.is_to_be_told:
            return True
        body = body_of(job)
        try:
            status = self._post(job.webhook, body, self._headers(job, body))
        except NotPublicError:
            self._table.told(job, NO_ANSWER, is_over=True)
            return True
        except NotReachedError:
            status = NO_ANSWER
        is_over = status < 300 or status == _GONE or times >= MAX_TIMES
        self._table.told(job, status, is_over=is_over)
        return is_over

    def _headers(self, job: Job, body: bytes) -> dict[str, str]:
        at = int(self._now())
        signed = [sign(each, message=job.made, at=at, body=body) for each in self._secrets.of(job.tenant)]
        return {
            "content-type": "application/json",
            "user-agent": "hotplate",
            "webhook-id": job.made,
            "webhook-timestamp": str(at),
            "webhook-signature": " ".join(signed),
        }


def body_of(job: Job) -> bytes:
    """Return what a receiver is told of a job: not its answer, which takes a key to fetch."""
    ended = datetime.fromtimestamp(job.updated, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {name: value for name, value in job.status().items() if name not in ("webhook", "error")}
    if job.error:
        told["error"] = {"status": job.error["status"]}
    data = {**told, "location": f"/jobs/{job.id}"}
    return orjson.dumps({"type": f"job.{job.state}", "timestamp": ended, "data": data})
