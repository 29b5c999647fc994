"""The queue of jobs. A message is a reference, so its size does not depend on what is asked.

Source: Amazon SQS API Reference, "SendMessage".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from hotplate.errors import StoreUnavailableError

if TYPE_CHECKING:
    from hotplate.aws.job_table import Job

__all__ = ["JobQueue", "JobReference", "read_reference"]


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
        try:
            self._client.send_message(QueueUrl=self._url, MessageBody=body)
        except (BotoCoreError, ClientError) as fault:
            raise StoreUnavailableError(f"sqs:{self._url}: {fault}") from fault


def read_reference(body: str) -> JobReference:
    """Return what a message that `send` wrote says."""
    return JobReference(**json.loads(body))
