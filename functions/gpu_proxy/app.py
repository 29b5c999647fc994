"""The function before the model on SageMaker: requests of the API, and notices of what came of them.

It writes usage lines only of what it refuses: what the endpoint answers has its line from the container.
"""

from __future__ import annotations

import os
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Any

from functions.gpu_proxy.breaker import Breaker
from functions.gpu_proxy.requests import ProxyRequests
from functions.gpu_proxy.results import Results
from functions.gpu_proxy.settings import ProxySettings
from hotplate.aws.clients import aws_client, endpoint_client, signing_client
from hotplate.aws.credentials import current_credentials
from hotplate.aws.endpoint import Endpoint
from hotplate.aws.job_files import JobFiles
from hotplate.aws.job_queue import JobQueue
from hotplate.aws.job_table import JobTable
from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.webhook_secrets import WebhookSecrets
from hotplate.http.answers import answer_error, log_fault
from hotplate.http.caller import caller_of
from hotplate.http.event import HttpRequest, HttpResponse, read_event, write_result
from hotplate.http.usage import UsageLine
from hotplate.http.webhooks import Webhooks
from hotplate.observability import fault_log
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.pinned import pinned_manifest
from hotplate.settings import Settings
from hotplate.tenants.webhooks import ANYWHERE

if TYPE_CHECKING:
    from hotplate.http.event import LambdaContext
    from hotplate.manifest.schema import Manifest

# Seconds that the endpoint may take where a caller waits; API Gateway waits 29.
WAIT_S = 27.0


@cache
def _manifest() -> Manifest:
    settings = Settings.from_environ({**os.environ, "HOTPLATE_MODEL": _settings.model})
    with closing(S3Reader.from_settings(settings, current_credentials(os.environ))) as reader:
        return pinned_manifest(settings, reader, Ledger())[0]


_settings = ProxySettings.from_environ(os.environ)
_breaker = Breaker()
_table = JobTable(aws_client("dynamodb"), _settings.job_table)
_files = JobFiles(signing_client(), _settings.data_bucket)
_endpoint = Endpoint(endpoint_client(WAIT_S), _settings.endpoint)
_told = JobQueue(aws_client("sqs"), _settings.webhook_queue)
_webhooks = Webhooks(
    WebhookSecrets(aws_client("dynamodb"), _settings.key_table),
    anywhere=os.environ.get("HOTPLATE_WEBHOOKS") == ANYWHERE,
)
_requests = ProxyRequests(_settings, _endpoint, _breaker, _table, _files, _webhooks, _manifest)
_results = Results(_settings.endpoint, _table, _files, _told, _breaker)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
    """Answer a request, or take notices.

    Raises:
        StoreError: A notice could not be worked on; Lambda brings it again.
    """
    if "Records" not in event:
        return _answer(event, context)
    for record in event["Records"]:
        try:
            _results.take(record["Sns"]["Message"])
        except (KeyError, ValueError) as fault:  # it would be no better the next time
            fault_log().error("a notice is about no job", error=f"{type(fault).__name__}: {fault}")
    return None


def _answer(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    usage, request_id = UsageLine(context), context.aws_request_id
    request: HttpRequest | None = None
    is_forwarded = False
    try:
        request = read_event(event)
        usage.bytes_in, usage.caller = len(request.body), caller_of(event)
        response = _requests.answer(request, event, request_id)
        is_forwarded = request.method == "POST"
    except Exception as fault:  # the edge: whatever went wrong below has an answer
        log_fault(fault, request_id)
        response = answer_error(fault, request, request_id)
    if not is_forwarded:
        usage.write(response.status, len(response.body))
    headers = {**response.headers, "x-request-id": request_id}
    return write_result(HttpResponse(response.status, response.body, headers, response.content_type))
