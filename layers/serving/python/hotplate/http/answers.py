"""From errors to answers: the one mapping of the error tree to HTTP.

A class that is not in the table is answered as its nearest ancestor that is. The caller's fault
is a 4xx that says what was expected and what came; anything else says only which kind of fault it
was and the request's id, and the rest goes to the log. A pipeline's step that failed is named.

Body: the members of RFC 9457, whose content type is sent to clients that accept it, and beside them what
the clients of the path's protocol read:

| path | beside them |
|---|---|
| `/v2`, KServe's `/v1/models/{model}:predict` | `"error": "<text>"` |
| `/v1`, `/openai/v1` | `"error": {"message", "type", "param", "code"}`, OpenAI's |
| `/endpoints`, `/invocations` | `"error"` and `"message": "<text>"`, header `x-amzn-errortype`: SageMaker's |
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from hotplate.errors import (
    ArtifactError,
    BatchError,
    BatchRunNotFoundError,
    BudgetSpentError,
    CallerError,
    EndpointUnavailableError,
    ForeignInputError,
    HotplateError,
    InferenceError,
    InputNotFoundError,
    JobConflictError,
    JobError,
    ModelError,
    ModelNotFoundError,
    ModelNotReadyError,
    PayloadTooLargeError,
    QuotaSpentError,
    RequestError,
    StepError,
    StepTimeoutError,
    StepUnavailableError,
    StoreError,
    StoreUnavailableError,
    UnknownPathError,
    UnsupportedMediaTypeError,
)
from hotplate.http.aliases import is_openai
from hotplate.http.event import HttpRequest, HttpResponse
from hotplate.observability import fault_log, trace_of, words_of

__all__ = ["RETRY_AFTER_S", "UPLOAD", "answer_error", "log_fault", "status_of"]

_STATUS: dict[type[BaseException], int] = {
    RequestError: 400,
    PayloadTooLargeError: 413,
    ForeignInputError: 403,
    InputNotFoundError: 404,
    UnknownPathError: 404,
    UnsupportedMediaTypeError: 415,
    CallerError: 403,
    QuotaSpentError: 429,
    BudgetSpentError: 402,
    JobError: 404,
    JobConflictError: 409,
    BatchError: 400,
    BatchRunNotFoundError: 404,
    ModelError: 404,
    ModelNotFoundError: 404,
    ModelNotReadyError: 503,
    StoreError: 500,
    StoreUnavailableError: 503,
    ArtifactError: 500,
    InferenceError: 500,
    StepUnavailableError: 503,
    StepTimeoutError: 504,
    HotplateError: 500,
    BaseException: 500,
}
# Seconds after which a 503 is worth another try; also the least time between two loads.
RETRY_AFTER_S = 2
# Where a request that is too large may put its inputs instead.
UPLOAD = {"method": "POST", "path": "/uploads"}
_PROBLEM = "application/problem+json"
# Source: Amazon SageMaker API Reference, "InvokeEndpoint", errors.
_SAGEMAKER = {503: "ServiceUnavailable"}
# A member of a body, maybe with an index, as `input[3]`.
_MEMBER = re.compile(r"[a-z_]+(\[\d+\])?")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def status_of(fault: BaseException) -> int:
    """Return the HTTP status for an error, by its nearest ancestor in the table."""
    return next(_STATUS[kind] for kind in type(fault).__mro__ if kind in _STATUS)


def log_fault(fault: BaseException, request_id: str) -> None:
    """Log what the caller is not told. The caller's own faults are in the usage line already."""
    if status_of(fault) >= 500:
        words, name = words_of(fault), type(fault).__name__
        fault_log().error(words, request_id=request_id, error=name, trace=trace_of(fault))


def answer_error(fault: BaseException, request: HttpRequest | None, request_id: str) -> HttpResponse:
    """Return the answer for an error; `request` is None if the event could not even be read."""
    status = status_of(fault)
    name = type(fault).__name__ if isinstance(fault, HotplateError) else "InternalError"
    words = _WORDS.sub(" ", name.removesuffix("Error")).lower()
    is_public = status < 500 or isinstance(fault, (StepError, EndpointUnavailableError))
    text = str(fault) if is_public else f"{words} (request {request_id}); the function's log says more"
    body: dict[str, Any] = {
        "error": text,
        "type": f"urn:hotplate:error:{name}",
        "title": words,
        "status": status,
        "detail": text,
        "instance": f"urn:hotplate:request:{request_id}",
    }
    if isinstance(fault, RequestError):
        body |= {"expected": fault.expected, "received": fault.received}
    if isinstance(fault, PayloadTooLargeError) and fault.can_upload:
        body["upload"] = UPLOAD
    wait_s = fault.retry_after_s if isinstance(fault, EndpointUnavailableError) else RETRY_AFTER_S
    headers = {"retry-after": str(wait_s)} if status == 503 else {}
    segments = request.segments if request else ()
    if is_openai(segments):
        body["error"] = openai_error(fault, status, text)
    elif segments[:1] in (("endpoints",), ("invocations",)):
        body["message"] = text
        headers["x-amzn-errortype"] = _SAGEMAKER.get(
            status, "ValidationError" if status < 500 else "InternalFailure"
        )
    accepts = request.headers.get("accept", "") if request else ""
    return HttpResponse(
        status, orjson.dumps(body), headers, _PROBLEM if _PROBLEM in accepts else "application/json"
    )


def openai_error(fault: BaseException, status: int, text: str) -> dict[str, str | None]:
    """Return an error as OpenAI's clients read it."""
    if isinstance(fault, ModelNotFoundError):
        code, param = "model_not_found", "model"
    else:
        code, param = _WORDS.sub("_", type(fault).__name__.removesuffix("Error")).lower(), None
    if not isinstance(fault, HotplateError):
        code = "internal"
    if isinstance(fault, RequestError) and _MEMBER.fullmatch(fault.what):
        param = fault.what
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"message": text, "type": kind, "param": param, "code": code}
