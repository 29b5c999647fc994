"""The function of webhooks: tells a caller's own server that a job has ended, until it says that it knows.

A function of its own, because it sends where strangers want it to: it may read jobs and the secrets that it
signs with, note what came of it, and nothing else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from functions.webhooks.deliver import FIRST_WAIT_S, Deliverer
from functions.webhooks.send import post
from hotplate.aws.clients import aws_client
from hotplate.aws.job_queue import JobQueue, read_reference, wait_s
from hotplate.aws.job_table import JobTable
from hotplate.aws.webhook_secrets import WebhookSecrets
from hotplate.observability import words_of
from hotplate.tenants.webhooks import ANYWHERE

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger(service="webhooks")
_queue = JobQueue(aws_client("sqs"), os.environ["HOTPLATE_WEBHOOK_QUEUE_URL"])
_anywhere = os.environ.get("HOTPLATE_WEBHOOKS") == ANYWHERE
_tables = aws_client("dynamodb")
_deliverer = Deliverer(
    JobTable(_tables, os.environ["HOTPLATE_JOB_TABLE"]),
    WebhookSecrets(_tables, os.environ["HOTPLATE_KEY_TABLE"]),
    lambda url, body, headers: post(url, body, headers, anywhere=_anywhere),
)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work on messages of the queue of jobs whose end is to be told."""
    left = [record["messageId"] for record in event["Records"] if not _is_done(record)]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in left]}


def _is_done(record: dict[str, Any]) -> bool:
    """Return whether a message is done; else it stays in its queue and comes again, later each time."""
    times = int(record["attributes"]["ApproximateReceiveCount"])
    try:
        if _deliverer.deliver(read_reference(record["body"]), times):
            return True
        _queue.put_off(record["receiptHandle"], wait_s(times, FIRST_WAIT_S))
    except Exception as fault:  # the others' messages are done, whatever is wrong with this one
        logger.warning("a message stays in its queue", message_id=record["messageId"], error=words_of(fault))
    return False
