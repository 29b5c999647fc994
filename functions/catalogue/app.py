"""What this stack serves: `/v2`, health, repository index, OpenAI's list of models, OpenAPI; and the rest.

No list of models is kept here: see `served.py`. A caller is shown the models that it may read, and no other:
of those the answer is the same as of what is not there.
"""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

import hotplate
from functions.catalogue.openai import error_body, list_body, model_body
from functions.catalogue.openapi import document
from functions.catalogue.page import HEADERS, page
from functions.catalogue.served import Registry, read_pins
from hotplate.aws.clients import s3_client
from hotplate.aws.faults import s3_faults
from hotplate.errors import CallerError, StoreError
from hotplate.http.answers import answer_error
from hotplate.http.caller import caller_of, refuse_spent
from hotplate.http.event import write_result
from hotplate.http.usage import UsageLine
from hotplate.tenants.keys import read_scopes

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from functions.catalogue.served import Served

# How long the registry is believed to be readable, in seconds.
READY_AGE_S = 2.0
RETRY_AFTER = {"retry-after": "2"}
# What this server cannot do at all; the protocol has it as an extension.
NOT_LOADED_BY_CALL = "Lambda loads and unloads it as requests come and go; what is served is deployed"
OPENAI_PATHS = ("/v1/", "/openai/v1/")

app = APIGatewayRestResolver()
logger = Logger(service="catalogue")
_bucket = os.environ["HOTPLATE_BUCKET"]
_s3 = s3_client()
_registry = Registry(_s3, _bucket, read_pins(os.environ["HOTPLATE_SERVED"]))
_readable_at = float("-inf")


@app.get("/v2")
def server_metadata() -> Response[str]:
    """Say what this server is and which extensions of the protocol it speaks."""
    extensions = ["binary_tensor_data", "model_repository"]
    metadata = {"name": "hotplate", "version": hotplate.__version__, "extensions": extensions}
    return _answer(HTTPStatus.OK, metadata)


@app.get("/ping")
@app.get("/v2/health/live")
def live() -> Response[str]:
    """Say that the server answers."""
    return _answer(HTTPStatus.OK, {"live": True})


@app.get("/v2/health/ready")
def ready() -> Response[str]:
    """Say whether the registry can be read, without which no model could start."""
    global _readable_at
    if time.monotonic() - _readable_at > READY_AGE_S:
        try:
            with s3_faults(_bucket, "models/"):
                _s3.list_objects_v2(Bucket=_bucket, Prefix="models/", MaxKeys=1)
        except StoreError as fault:
            logger.error("the registry cannot be listed", error=type(fault).__name__)
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE, {"ready": False}, RETRY_AFTER)
        _readable_at = time.monotonic()
    return _answer(HTTPStatus.OK, {"ready": True})


@app.post("/v2/repository/index")
def index() -> Response[str]:
    """List the models that are served, and for those that cannot answer why."""
    try:
        body = orjson.loads(app.current_event.decoded_body or b"{}")
    except ValueError:
        return _problem(HTTPStatus.BAD_REQUEST, "MalformedRequestError", "body: expected JSON, or none")
    only_ready = body.get("ready", False) if isinstance(body, dict) else None
    if not isinstance(only_ready, bool):
        text = 'body: expected an object whose "ready" is true or false'
        return _problem(HTTPStatus.BAD_REQUEST, "MalformedRequestError", text)
    entries = [
        {
            "name": each.pin.name,
            "version": each.pin.version,
            "state": "READY" if each.manifest else "UNAVAILABLE",
            "reason": each.reason,
        }
        for each in _registry.served(_visible())
        if each.manifest or not only_ready
    ]
    return _answer(HTTPStatus.OK, entries)


@app.post("/v2/repository/models/<name>/load")
@app.post("/v2/repository/models/<name>/unload")
def load(name: str) -> Response[str]:
    """Say why nobody loads a model by a call."""
    text = f"model {name[:80]!r}: {NOT_LOADED_BY_CALL}"
    return _problem(HTTPStatus.METHOD_NOT_ALLOWED, "UnknownPathError", text, {"allow": ""})


@app.get("/v1/models")
@app.get("/openai/v1/models")
def openai_models() -> Response[str]:
    """List the models that answer, as OpenAI's API does."""
    return _answer(HTTPStatus.OK, list_body(_registry.served(_visible())))


@app.get("/v1/models/<name>")
@app.get("/openai/v1/models/<name>")
def openai_model(name: str) -> Response[str]:
    """Describe one model."""
    found = _found(name)
    if found and found.manifest:
        return _answer(HTTPStatus.OK, model_body(found, found.manifest))
    text = f"model {name[:80]!r} is not ready: {found.reason}" if found else _unknown(name)
    return _openai_problem(HTTPStatus.NOT_FOUND, text, code="model_not_found", param="model")


@app.get("/openapi.json")
def openapi() -> Response[str]:
    """Describe the whole API as an OpenAPI document, each model with its own signature."""
    return _answer(HTTPStatus.OK, document(_registry.served(_visible()), server="."))


@app.get("/v2/models/<name>/docs/dataplane.json")
def model_openapi(name: str) -> Response[str]:
    """Describe one model's paths as an OpenAPI document."""
    found = _found(name)
    if found and found.manifest:
        return _answer(HTTPStatus.OK, document([found], server="../../../..", whole=False))
    return _model_away(name, found)


@app.get("/v2/models/<name>/docs")
def model_page(name: str) -> Response[str]:
    """Describe one model as a page."""
    found = _found(name)
    if found and found.manifest:
        headers = {"x-request-id": app.lambda_context.aws_request_id, **HEADERS}
        text = page(found.pin, found.manifest)
        return Response(HTTPStatus.OK, "text/html; charset=utf-8", text, headers)
    return _model_away(name, found)


@app.exception_handler(StoreError)  # type: ignore[untyped-decorator]
def registry_away(fault: StoreError) -> Response[str]:
    """Say that the registry cannot be read now."""
    logger.error("the registry cannot be read", error=type(fault).__name__)
    text = "the registry of models cannot be read, try again"
    if app.current_event.path.startswith(OPENAI_PATHS):
        return _openai_problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code="registry_unavailable")
    return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "StoreUnavailableError", text, RETRY_AFTER)


@app.not_found
def not_here(_: Exception) -> Response[str]:
    """Say what is here instead."""
    method, path = app.current_event.http_method, app.current_event.path
    segments = [part for part in path.split("/") if part]
    if segments[:2] == ["v2", "models"] and len(segments) > 2 and segments[2] not in _visible():
        return _problem(HTTPStatus.NOT_FOUND, "ModelNotFoundError", _unknown(segments[2]))
    text = f"nothing answers {method} {path[:200]}"
    if path.startswith(OPENAI_PATHS):
        text += "; GET /v1/models lists what is served"
        return _openai_problem(HTTPStatus.NOT_FOUND, text, code="unknown_path")
    return _problem(HTTPStatus.NOT_FOUND, "UnknownPathError", f"{text}; GET /v2 is where to start")


@logger.inject_lambda_context
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway request."""
    usage = UsageLine(context)
    usage.caller = caller_of(event)
    try:
        refuse_spent(usage.caller)
    except CallerError as fault:
        result = write_result(answer_error(fault, None, usage.request_id))
        result["headers"]["x-request-id"] = usage.request_id
    else:
        result = app.resolve(event, context)
    usage.bytes_in = len(event.get("body") or "") * (3 if event.get("isBase64Encoded") else 4) // 4
    usage.write(result["statusCode"], len(result["body"]))
    return result


def _found(name: str) -> Served | None:
    """Return the model of this name, if the caller may read it."""
    return next(iter(_registry.served([each for each in _visible() if each == name])), None)


def _visible() -> list[str]:
    """Return the names of the models that the caller may read; all where nobody is asked who it is."""
    allowed = caller_of(app.current_event.raw_event).scopes
    scopes = None if allowed is None else read_scopes(allowed.split())
    return [name for name in _registry.pins if scopes is None or scopes.allow("read", name)]


def _model_away(name: str, found: Served | None) -> Response[str]:
    if found is None:
        return _problem(HTTPStatus.NOT_FOUND, "ModelNotFoundError", _unknown(name))
    text = f"model {name[:80]!r} is not ready: {found.reason}"
    return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "ModelNotReadyError", text, RETRY_AFTER)


def _unknown(name: str) -> str:
    return f"unknown model {name[:80]!r}; this server has: {', '.join(_visible()) or 'none'}"


def _problem(
    status: HTTPStatus, name: str, text: str, headers: dict[str, Any] | None = None
) -> Response[str]:
    body = {"error": text, "type": f"urn:hotplate:error:{name}", "status": status, "detail": text}
    return _answer(status, body, headers)


def _openai_problem(status: HTTPStatus, text: str, *, code: str, param: str | None = None) -> Response[str]:
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    kind = "server_error" if is_ours else "invalid_request_error"
    body = error_body(text, kind=kind, code=code, param=param)
    return _answer(status, body, RETRY_AFTER if is_ours else None)


def _answer(
    status: HTTPStatus, body: dict[str, Any] | list[dict[str, Any]], headers: dict[str, Any] | None = None
) -> Response[str]:
    request_id = app.lambda_context.aws_request_id
    return Response(
        status_code=status,
        content_type="application/json",
        body=orjson.dumps(body).decode(),
        headers={"x-request-id": request_id, **(headers or {})},
    )
