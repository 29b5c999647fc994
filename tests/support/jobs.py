"""Jobs on moto's DynamoDB, S3 and SQS, with models that answer what a test says, and a clock."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from moto import mock_aws

from functions.jobs.requests import JobRequests
from functions.jobs.work import JobWorker
from hotplate.aws.clients import signing_client
from hotplate.aws.job_files import JobFiles
from hotplate.aws.job_queue import JobQueue, JobReference, read_reference
from hotplate.aws.job_table import JobTable
from hotplate.aws.webhook_secrets import WebhookSecrets
from hotplate.errors import HotplateError
from hotplate.http.answers import answer_error
from hotplate.http.event import HttpResponse, read_event
from hotplate.http.webhooks import Webhooks
from tests.support.callers import REGION, made_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUCKET = "data"


class KilledError(Exception):
    """The worker's process ends here."""


@dataclass
class FakeModels:
    """What the models' functions answer, and what they were asked."""

    status: int = 200
    body: str = '{"outputs":[1.10]}'
    fault: Exception | None = None
    meanwhile: Callable[[], object] = lambda: None
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def ask(self, model: str, event: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((model, event))
        self.meanwhile()
        if self.fault:
            raise self.fault
        headers = {"content-type": "application/json", "x-request-id": "r"}
        return {
            "statusCode": self.status,
            "headers": headers,
            "body": self.body,
            "isBase64Encoded": False,
        }


class KilledAtTheEnd(JobTable):
    """A table whose worker is killed before it can say that the job has ended."""

    def finish(self, *_: Any, **__: Any) -> None:
        raise KilledError


@dataclass
class Jobs:
    """All of it, made."""

    client: Any
    sqs: Any
    url: str
    files: JobFiles
    queue: JobQueue
    told: JobQueue
    told_url: str
    models: FakeModels = field(default_factory=FakeModels)
    now: float = 1_000_000.0

    @property
    def table(self) -> JobTable:
        return JobTable(self.client, "JobTable", now=lambda: self.now)

    @property
    def secrets(self) -> WebhookSecrets:
        return WebhookSecrets(self.client, "KeyTable", now=lambda: self.now)

    def worker(self, table: JobTable | None = None) -> JobWorker:
        return JobWorker(table or self.table, self.files, self.models, self.told)  # type: ignore[arg-type]

    def killed(self) -> JobWorker:
        return self.worker(KilledAtTheEnd(self.client, "JobTable", now=lambda: self.now))

    def ask(self, method: str, path: str, body: Any = None, **caller: str) -> HttpResponse:
        """Return the API's answer to the tenant `acme`, or whom `caller` says."""
        return self.answer(event_of(method, path, body, **caller))

    def answer(self, event: dict[str, Any]) -> HttpResponse:
        """Return the answer to an event."""
        webhooks = Webhooks(self.secrets, anywhere=False)
        requests = JobRequests(self.table, self.files, self.queue, self.told, webhooks, ["digits", "spam"])
        request = read_event(event)
        try:
            return requests.answer(request, event)
        except HotplateError as fault:
            return answer_error(fault, request, "r")

    def messages(self, url: str | None = None) -> list[JobReference]:
        """Take all messages out of the queue of jobs, or of another."""
        found: list[JobReference] = []
        url = url or self.url
        while taken := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += [read_reference(each["Body"]) for each in taken]
            for each in taken:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return found

    def to_be_told(self) -> list[JobReference]:
        """Take all messages out of the queue of jobs whose end is to be told."""
        return self.messages(self.told_url)


def event_of(method: str, path: str, body: Any = None, **caller: str) -> dict[str, Any]:
    """Return a proxy event of the tenant `acme`, or of whom `caller` says."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    known = {"tenant": "acme", "scopes": "infer:*", "key": "k", "spent": "", "spent_text": "", **caller}
    return {
        "httpMethod": method,
        "path": path,
        "headers": {},
        "body": base64.b64encode(raw).decode(),
        "isBase64Encoded": True,
        "requestContext": {"authorizer": known, "requestId": "of-api-gateway"},
    }


@contextmanager
def jobs() -> Iterator[Jobs]:
    """Make table, bucket and queue."""
    with mock_aws():
        client, s3 = boto3.client("dynamodb", REGION), signing_client()
        made_tables(client)
        s3.create_bucket(Bucket=BUCKET)
        sqs = boto3.client("sqs", REGION)
        url = sqs.create_queue(QueueName="jobs")["QueueUrl"]
        told = sqs.create_queue(QueueName="told")["QueueUrl"]
        files = JobFiles(s3, BUCKET)
        yield Jobs(client, sqs, url, files, JobQueue(sqs, url), JobQueue(sqs, told), told)
