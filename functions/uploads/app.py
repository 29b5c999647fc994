"""`POST /uploads`: where to put an input that is too large for a call, and what to call it then.

A function of its own, because an upload may do what the role may that signed it: this one may put objects
under `uploads/` and nothing else, and no other function may do that.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from functions.uploads.asked import read_upload
from hotplate.aws.clients import signing_client
from hotplate.aws.presigned import presigned_put
from hotplate.errors import UnknownPathError
from hotplate.http.answers import answer_error, log_fault
from hotplate.http.caller import caller_of, refuse_spent
from hotplate.http.event import HttpRequest, HttpResponse, read_event, write_result
from hotplate.http.usage import UsageLine
from hotplate.limits import UPLOAD_LIFE_S
from hotplate.tenants.uploads import new_key, uri_of
from hotplate.tenants.usage import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.http.event import LambdaContext

_bucket = os.environ["HOTPLATE_DATA_BUCKET"]
_client = signing_client()


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway request."""
    usage, request_id = UsageLine(context), context.aws_request_id
    request: HttpRequest | None = None
    try:
        request = read_event(event)
        usage.bytes_in, usage.caller = len(request.body), caller_of(event)
        refuse_spent(usage.caller)
        response = _sign(request, usage.caller.tenant or INTERNAL)
    except Exception as fault:  # the edge: whatever went wrong below has an answer
        log_fault(fault, request_id)
        response = answer_error(fault, request, request_id)
    usage.write(response.status, len(response.body))
    headers = {**response.headers, "x-request-id": request_id}
    return write_result(HttpResponse(response.status, response.body, headers, response.content_type))


def _sign(request: HttpRequest, tenant: str) -> HttpResponse:
    if (request.method, request.segments) != ("POST", ("uploads",)):
        received = f"{request.method} /{'/'.join(request.segments)}"[:200]
        raise UnknownPathError("path", expected="POST /uploads", received=received)
    upload = read_upload(request.body)
    key = new_key(tenant)
    ends = int(time.time()) + UPLOAD_LIFE_S
    url, headers = presigned_put(_client, bucket=_bucket, key=key, life_s=UPLOAD_LIFE_S, **upload._asdict())
    answer = {
        "upload_url": url,
        "method": "PUT",
        "headers": headers,
        "input_uri": uri_of(_bucket, key),
        "expires_at": datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    # The address is as good as a key, for as long as it lives.
    return HttpResponse(201, orjson.dumps(answer), {"cache-control": "no-store"})
