"""`GET /v2`, `/v2/health/live`, `/v2/health/ready`, and the answer for every model that is not here.

Models are listed from the registry, so no list of them is kept anywhere else.
"""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from botocore.exceptions import BotoCoreError, ClientError

import hotplate
from hotplate.aws.clients import s3_client

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# How long a listing of the registry is believed, in seconds: for naming models, and for being ready.
LISTING_AGE_S = 30.0
READY_AGE_S = 2.0

app = APIGatewayRestResolver()
logger = Logger(service="catalogue")
_bucket = os.environ["HOTPLATE_BUCKET"]
_s3 = s3_client()
_listing: tuple[float, list[str]] | None = None


@app.get("/v2")
def server_metadata() -> Response[str]:
    """Say what this server is and which extensions of the protocol it speaks."""
    metadata = {"name": "hotplate", "version": hotplate.__version__, "extensions": ["binary_tensor_data"]}
    return _answer(HTTPStatus.OK, metadata)


@app.get("/v2/health/live")
def live() -> Response[str]:
    """Say that the server answers."""
    return _answer(HTTPStatus.OK, {"live": True})


@app.get("/v2/health/ready")
def ready() -> Response[str]:
    """Say whether the registry can be read, without which no model could start."""
    if _models(max_age_s=READY_AGE_S) is None:
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, {"ready": False}, {"retry-after": "2"})
    return _answer(HTTPStatus.OK, {"ready": True})


@app.not_found
def not_here(_: Exception) -> Response[str]:
    """Say what is here instead."""
    method, path = app.current_event.http_method, app.current_event.path
    segments = [part for part in path.split("/") if part]
    names = _models(max_age_s=LISTING_AGE_S)
    if segments[:2] == ["v2", "models"] and len(segments) > 2 and segments[2] not in (names or ()):
        here = "" if names is None else f"; this server has: {', '.join(names) or 'none'}"
        return _problem("ModelNotFoundError", f"unknown model {segments[2][:80]!r}{here}")
    return _problem("UnknownPathError", f"nothing answers {method} {path[:200]}; GET /v2 is where to start")


@logger.inject_lambda_context
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway request."""
    return app.resolve(event, context)


def _models(*, max_age_s: float) -> list[str] | None:
    """Return the names in the registry as they were at most so long ago; None if it cannot be listed."""
    global _listing
    if _listing is None or time.monotonic() - _listing[0] > max_age_s:
        try:
            pages = _s3.get_paginator("list_objects_v2").paginate(
                Bucket=_bucket, Prefix="models/", Delimiter="/"
            )
            folders = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
        except (BotoCoreError, ClientError) as fault:
            logger.error("the registry cannot be listed", error=type(fault).__name__)
            return None
        _listing = (time.monotonic(), [folder.split("/")[1] for folder in folders])
    return _listing[1]


def _problem(name: str, text: str) -> Response[str]:
    body = {
        "error": text,
        "type": f"urn:hotplate:error:{name}",
        "status": HTTPStatus.NOT_FOUND,
        "detail": text,
    }
    return _answer(HTTPStatus.NOT_FOUND, body)


def _answer(status: HTTPStatus, body: dict[str, Any], headers: dict[str, Any] | None = None) -> Response[str]:
    request_id = app.lambda_context.aws_request_id
    return Response(
        status_code=status,
        content_type="application/json",
        body=orjson.dumps(body).decode(),
        headers={"x-request-id": request_id, **(headers or {})},
    )
