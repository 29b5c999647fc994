"""`GET /v2`, `/v2/health/live`, `/v2/health/ready`, and the answer for every model that is not here.

Models are listed from the registry, so no list of them is kept anywhere else.
"""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import boto3
import orjson
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import hotplate

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# How long a listing of the registry is believed, in seconds.
_LISTING_AGE_S = 30.0

app = APIGatewayRestResolver()
logger = Logger(service="catalogue")
_bucket = os.environ["HOTPLATE_BUCKET"]
_s3 = boto3.client(
    "s3", config=Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3})
)
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
    try:
        _models(fresh=True)
    except (BotoCoreError, ClientError) as fault:
        logger.error("the registry cannot be listed", error=type(fault).__name__)
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, {"ready": False}, {"retry-after": "2"})
    return _answer(HTTPStatus.OK, {"ready": True})


@app.not_found
def not_here(_: Exception) -> Response[str]:
    """Say what is here instead."""
    method, path = app.current_event.http_method, app.current_event.path
    segments = [part for part in path.split("/") if part]
    if segments[:2] == ["v2", "models"] and len(segments) > 2 and segments[2] not in _models():
        text = f"unknown model {segments[2][:80]!r}; this server has: {', '.join(_models()) or 'none'}"
        return _problem("ModelNotFoundError", text)
    return _problem(
        "MalformedRequestError", f"nothing answers {method} {path[:200]}; GET /v2 is where to start"
    )


@logger.inject_lambda_context
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway request."""
    return app.resolve(event, context)


def _models(*, fresh: bool = False) -> list[str]:
    global _listing
    if fresh or _listing is None or time.monotonic() - _listing[0] > _LISTING_AGE_S:
        pages = _s3.get_paginator("list_objects_v2").paginate(Bucket=_bucket, Prefix="models/", Delimiter="/")
        names = [entry["Prefix"].split("/")[1] for page in pages for entry in page.get("CommonPrefixes", [])]
        _listing = (time.monotonic(), names)
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
