"""When another answers instead of the model that was asked, and what that one is asked.

A version's plan names its fallback: `sagemaker`, the same model on the stack's endpoint there, or another
model. It is asked where the model's own function cannot answer now, or not this request:

| reason | what the function did |
|---|---|
| `overload` | Lambda has no environment free for it (429), or it cannot be reached |
| `not-ready` | it answered 503 |
| `timeout` | it ran past its time, or answered 504 |
| `rows`, `context-length`, `image-size` | it refused more than its plan or the model takes |

All else it says is its answer. There is one step: what a fallback cannot answer goes to no other. A request
that names a version is about that very version, so another model is not asked; nor is one for an `explain`.

Pure: no call is made here.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import orjson

from hotplate.errors import HotplateError, StepTimeoutError, StepUnavailableError
from hotplate.http.aliases import TARGET_MODEL, alias_of, completion_kind
from hotplate.http.caller import FALLBACK
from hotplate.protocol.json_document import mapping, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.http.event import HttpRequest
    from hotplate.manifest.schema import Manifest

__all__ = ["HEADER", "SAGEMAKER", "has_same_signature", "marked", "reason_of", "redirected"]

SAGEMAKER = "sagemaker"
HEADER = "hotplate-fallback"
_URN = "urn:hotplate:error:"
_LIMITS = {
    "TooManyRowsError": "rows",
    "ContextLengthExceededError": "context-length",
    "ImageTooLargeError": "image-size",
}
_STATUSES = {503: "not-ready", 504: "timeout"}


def reason_of(outcome: Mapping[str, Any] | HotplateError) -> str:
    """Return why the fallback is to be asked; "" where it is not.

    Args:
        outcome: What the model's function answered, as a proxy result, or what was raised instead.
    """
    if isinstance(outcome, StepUnavailableError):
        return "overload"
    if isinstance(outcome, StepTimeoutError):
        return "timeout"
    if isinstance(outcome, HotplateError):
        return ""
    status = int(outcome["statusCode"])
    if status == 400:
        return _LIMITS.get(_error_of(outcome), "")
    return _STATUSES.get(status, "")


def redirected(
    event: Mapping[str, Any], request: HttpRequest, asked: str, fallback: str, *, is_again: bool
) -> dict[str, Any] | None:
    """Return the event by which the fallback is asked; None where the request cannot be put to it.

    Args:
        event: For the model that was asked.
        request: The same, read.
        asked: That model.
        fallback: `SAGEMAKER`, or another model's name.
        is_again: Whether the model asked has counted the request.
    """
    sent = dict(event) if fallback == SAGEMAKER else _renamed(event, request, fallback)
    if sent is None or _is_explanation(request):
        return None
    context = {**(event.get("requestContext") or {}), FALLBACK: {"asked": asked, "is_again": is_again}}
    return {**sent, "requestContext": context}


def marked(result: Mapping[str, Any], fallback: str, reason: str) -> dict[str, Any]:
    """Return the proxy result with the header that says who answered, and why."""
    headers = {**(result.get("headers") or {}), HEADER: f"{fallback}; reason={reason}"}
    return {**result, "headers": headers}


def has_same_signature(one: Manifest, other: Manifest) -> bool:
    """Return whether what one model takes and answers, the other does: descriptions aside."""
    return _signature(one) == _signature(other)


def _signature(manifest: Manifest) -> tuple[Any, ...]:
    return tuple(
        tuple((each.name, each.datatype, tuple(each.shape), each.one_of, each.optional) for each in specs)
        for specs in (manifest.inputs, manifest.outputs)
    )


def _is_explanation(request: HttpRequest) -> bool:
    last = request.segments[-1]
    return last == "explain" or last.endswith(":explain")


def _renamed(event: Mapping[str, Any], request: HttpRequest, model: str) -> dict[str, Any] | None:
    """Return the event for another model."""
    segments = request.segments
    if segments[:2] == ("v2", "models"):
        return {**event, "path": f"/v2/models/{model}/{segments[3]}"} if len(segments) == 4 else None
    kind = "completion" if completion_kind(segments) else alias_of(request).kind
    if kind in ("completion", "embeddings"):
        # Written by the standard library, which takes all that is read: integers of more than 64 bits too.
        text = json.dumps({**mapping(parse(request.body), what="the request"), "model": model})
        return {**event, "body": base64.b64encode(text.encode()).decode(), "isBase64Encoded": True}
    if segments[:1] == ("endpoints",):
        return {**event, "path": f"/endpoints/{model}/invocations"}
    if kind == "invocations":
        headers = {
            name: value
            for name, value in (event.get("headers") or {}).items()
            if name.lower() != TARGET_MODEL
        }
        return {**event, "headers": {**headers, TARGET_MODEL: model}}
    return {**event, "path": f"/v1/models/{model}:predict"}


def _error_of(result: Mapping[str, Any]) -> str:
    """Return the class of error that an answer names; "" if it names none of ours."""
    text = result.get("body") or ""
    try:
        told = orjson.loads(base64.b64decode(text) if result.get("isBase64Encoded") else text)
    except ValueError:
        return ""
    kind = told.get("type") if isinstance(told, dict) else None
    return kind.removeprefix(_URN) if isinstance(kind, str) else ""
