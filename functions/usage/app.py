"""The ledger's function: counts what the models' logs say, and tells a tenant what it used.

Three kinds of events come: deliveries of logs; those that failed, out of their queue; requests of the API.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import orjson
from aws_lambda_powertools import Logger

from functions.usage.deliveries import failed_deliveries, is_delivery, usages_in
from functions.usage.report import report_of
from hotplate.aws.clients import aws_client
from hotplate.aws.ledger import Ledger
from hotplate.errors import HotplateError, StoreError, UnknownPathError
from hotplate.http.answers import answer_error, status_of
from hotplate.http.caller import caller_of
from hotplate.http.event import HttpResponse, read_event, write_result
from hotplate.tenants.usage import INTERNAL

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger(service="usage")
_ledger = Ledger(aws_client("dynamodb"), os.environ["HOTPLATE_LEDGER_TABLE"])


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Count a delivery, count again what failed, or answer a request.

    Raises:
        StoreError: A delivery could not be counted; Lambda tries again, then puts it into the queue.
    """
    if is_delivery(event):
        return {"counted": _ledger.record(usages_in(event))}
    if failed := failed_deliveries(event):
        return {
            "batchItemFailures": [{"itemIdentifier": each} for each in failed if not _count(failed[each])]
        }
    return _answer(event, context.aws_request_id)


def _count(delivery: dict[str, Any]) -> bool:
    """Return whether a delivery that failed is counted now; else it stays in the queue."""
    try:
        _ledger.record(usages_in(delivery))
    except StoreError as fault:
        logger.warning("a delivery stays in the queue", error=str(fault))
        return False
    return True


def _answer(event: dict[str, Any], request_id: str) -> dict[str, Any]:
    request = None
    try:
        request = read_event(event)
        if (request.method, request.segments) != ("GET", ("usage",)):
            raise UnknownPathError(
                "path", expected="GET /usage", received=f"{request.method} {event['path']}"[:200]
            )
        query = event.get("queryStringParameters") or {}
        report = report_of(_ledger, caller_of(event).tenant or INTERNAL, query)
        response = HttpResponse(200, orjson.dumps(report))
    except HotplateError as fault:
        if status_of(fault) >= 500:
            logger.error("usage cannot be told", error=str(fault))
        response = answer_error(fault, request, request_id)
    return write_result(
        HttpResponse(
            response.status,
            response.body,
            {**response.headers, "x-request-id": request_id},
            response.content_type,
        )
    )
