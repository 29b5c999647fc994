"""The queues of jobs: of those that are to be worked on, and of those whose end somebody is to be told.

A message is a reference, so its size does not depend on what is asked.

Source: Amazon SQS API Reference, "SendMessage", "ChangeMessageVisibility".
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from hotplate.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.aws.job_table import Job

__all__ = ["MAX_TRIES", "JobQueue", "JobReference", "read_reference", "wait_s"]

# Seconds until a try that failed is made again, the first time, and at most. Ours; SQS allows 12 hours.
FIRST_WAIT_S = 120
MAX_WAIT_S = 3600
# How often a job is tried; then it is given up. As in the template, `maxReceiveCount`.
MAX_TRIES = 5


class JobReference(NamedTuple):
    """What a message says."""

    tenant: str
    id: str
    made: str


class JobQueue:
    """The queue at `url`, reached by a client of SQS."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, job: Job) -> None:
        """Send a reference to the job.

        Raises:
            StoreUnavailableError: SQS does not take it.
        """
        body = json.dumps(JobReference(job.tenant, job.id, job.made)._asdict())
        with self._faults():
            self._client.send_message(QueueUrl=self._url, MessageBody=body)

    def put_off(self, receipt: str, wait_s: int) -> None:
        """Have a message that was received come back later.

        Args:
            receipt: Of the message.
            wait_s: In so many seconds from now.

        Raises:
            StoreUnavailableError: SQS does not take it; the message comes back as soon as the queue says.
        """
        with self._faults():
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=wait_s
            )

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as fault:
            raise StoreUnavailableError(f"sqs:{self._url}: {fault}") from fault


def wait_s(times: int, first_s: int = FIRST_WAIT_S) -> int:
    """Return the seconds that a message is put off when it has come `times` times: it doubles."""
    return int(min(first_s * 2 ** (max(1, times) - 1), MAX_WAIT_S))


def read_reference(body: str) -> JobReference:
    """Return what a message that `send` wrote says."""
    return JobReference(**json.loads(body))
