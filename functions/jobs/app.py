"""The function of jobs: takes requests to be worked on later, and works on them.

Four kinds of events come: requests of the API; requests for a model whose caller prefers not to wait, handed
on by that model's function; messages of the queue of jobs; those of the queue of what was given up.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from functions.jobs.requests import JobRequests
from functions.jobs.work import JobWorker
from hotplate.aws.clients import aws_client, signing_client
from hotplate.aws.job_files import JobFiles
from hotplate.aws.job_queue import MAX_TRIES, JobQueue, read_reference, wait_s
from hotplate.aws.job_table import JobTable
from hotplate.aws.webhook_secrets import WebhookSecrets
from hotplate.http.answers import answer_error, log_fault
from hotplate.http.caller import caller_of
from hotplate.http.event import HttpRequest, HttpResponse, read_event, write_result
from hotplate.http.forwarding import Models
from hotplate.http.usage import UsageLine
from hotplate.http.webhooks import Webhooks
from hotplate.observability import words_of
from hotplate.settings import RelaySettings
from hotplate.tenants.webhooks import ANYWHERE

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger(service="jobs")
_settings = RelaySettings.from_environ(os.environ)
_given_up = os.environ["HOTPLATE_JOB_FAILED_QUEUE_ARN"]
_table = JobTable(aws_client("dynamodb"), os.environ["HOTPLATE_JOB_TABLE"])
_files = JobFiles(signing_client(), os.environ["HOTPLATE_DATA_BUCKET"])
_queue = JobQueue(aws_client("sqs"), os.environ["HOTPLATE_JOB_QUEUE_URL"])
_told = JobQueue(aws_client("sqs"), os.environ["HOTPLATE_WEBHOOK_QUEUE_URL"])
_webhooks = Webhooks(
    WebhookSecrets(aws_client("dynamodb"), os.environ["HOTPLATE_KEY_TABLE"]),
    anywhere=os.environ.get("HOTPLATE_WEBHOOKS") == ANYWHERE,
)
_requests = JobRequests(_table, _files, _queue, _told, _webhooks, list(_settings.functions))
_worker = JobWorker(_table, _files, Models(_settings, os.environ), _told)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work on messages, or answer a request."""
    if "Records" in event:
        left = [record["messageId"] for record in event["Records"] if not _is_done(record, context)]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in left]}
    return _answer(event, context)


def _is_done(record: dict[str, Any], context: LambdaContext) -> bool:
    """Return whether a message is done; else it stays in its queue and comes again."""
    try:
        reference = read_reference(record["body"])
        if record["eventSourceARN"] == _given_up:
            return _worker.give_up(reference)
        outcome = _worker.work(reference, context.aws_request_id)
        times = int(record["attributes"]["ApproximateReceiveCount"])
        if outcome == "failed" and times < MAX_TRIES:  # after the last it is given up soon
            _queue.put_off(record["receiptHandle"], wait_s(times))
        return outcome == "done"
    except Exception as fault:  # the others' messages are done, whatever is wrong with this one
        logger.warning(
            "a message stays in its queue",
            message_id=record["messageId"],
            error=words_of(fault),
        )
        return False


def _answer(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    usage = UsageLine(context)
    request: HttpRequest | None = None
    try:
        request = read_event(event)
        usage.bytes_in, usage.caller = len(request.body), caller_of(event)
        response = _requests.answer(request, event)
    except Exception as fault:  # the edge: whatever went wrong below has an answer
        log_fault(fault, context.aws_request_id)
        response = answer_error(fault, request, context.aws_request_id)
        if response.status < 500:  # what is accepted has its line from the model's function
            usage.write(response.status, len(response.body))
    headers = {**response.headers, "x-request-id": context.aws_request_id}
    return write_result(HttpResponse(response.status, response.body, headers, response.content_type))
