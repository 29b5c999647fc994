"""What a caller sends to have worked on, read and checked. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import orjson

from hotplate.errors import JobNotFoundError, MalformedRequestError
from hotplate.http.aliases import TARGET_MODEL, named_model
from hotplate.http.routes import route_of
from hotplate.http.webhooks import WEBHOOK_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.http.event import HttpRequest

__all__ = [
    "JSON",
    "Submission",
    "caller_context",
    "handed_on",
    "infer_path",
    "read_id",
    "read_submission",
]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_VERSION = _ID
# Headers of a request for a model's function that is JSON.
JSON: Mapping[str, str] = {"content-type": "application/json"}
# What of a request's headers its reader needs.
_KEPT = ("content-type", "inference-header-content-length", TARGET_MODEL, "hotplate-subject")


class Submission(NamedTuple):
    """What is to be worked on.

    Attributes:
        model, version: What is asked; version "" for whichever is served when the job is run.
        path: Of the API, by which the model is asked.
        headers: That say how to read the request.
        request: The body, byte by byte as it was sent.
        webhook: Who is told when it is done; "" for nobody.
    """

    model: str
    version: str
    path: str
    headers: Mapping[str, str]
    request: bytes
    webhook: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the whole, in hex: two jobs that have it in common ask the same."""
        named: list[Any] = [self.model, self.version]
        if (self.path, self.headers) != (infer_path(self.model, self.version), JSON):
            named += [self.path, self.headers]
        named += [{"webhook": self.webhook}] if self.webhook else []
        told = orjson.dumps(named, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(told + b"\n" + self.request).hexdigest()


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a submission. `request` is the body for the model's infer route."""

    model: str
    request: msgspec.Raw
    version: str = ""
    webhook: str = ""


def read_submission(body: bytes, subject: str | None = None) -> Submission:
    """Return the submission in a body; `subject` is whom it is about.

    Raises:
        MalformedRequestError: It is none.
    """
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise _malformed("body", str(fault)[:200]) from fault
    if not bytes(found.request).startswith(b"{"):
        raise _malformed("request", "no JSON object")
    if found.version and not _VERSION.fullmatch(found.version):
        raise MalformedRequestError(
            "version", expected="letters, digits, `.`, `_`, `-`", received=found.version[:80]
        )
    path = infer_path(found.model, found.version)
    headers = {**JSON, "hotplate-subject": subject} if subject else JSON
    return Submission(found.model, found.version, path, headers, bytes(found.request), found.webhook)


def handed_on(request: HttpRequest, path: str, models: Sequence[str]) -> Submission:
    """Return the submission that a request is by itself, whose caller prefers not to wait for the answer.

    Args:
        request: For a model; its function handed it on.
        path: Of the request, as it came.
        models: That the caller may ask.

    Raises:
        RequestError: It is for no model.
    """
    if request.segments[:1] == ("v2",):
        route = route_of(request)
        model, version = route.model, route.version or ""
    else:
        # Only where there is one model may a request name none.
        model, version = named_model(request) or (models[0] if len(models) == 1 else ""), ""
    headers = {name: request.headers[name] for name in _KEPT if name in request.headers}
    return Submission(model, version, path, headers, request.body, request.headers.get(WEBHOOK_HEADER, ""))


def infer_path(model: str, version: str) -> str:
    """Return the path by which a model is asked."""
    return f"/v2/models/{model}/versions/{version}/infer" if version else f"/v2/models/{model}/infer"


def read_id(text: str, *, new: bool) -> str:
    """Return the id of a job in a path.

    Raises:
        MalformedRequestError: It cannot be the id of a `new` one.
        JobNotFoundError: It cannot be one that is there.
    """
    if _ID.fullmatch(text):
        return text
    if not new:
        raise JobNotFoundError(f"unknown job {text[:80]!r}")
    raise MalformedRequestError(
        "id", expected="1 to 63 letters, digits, `.`, `_`, `-`, not a mark first", received=repr(text[:80])
    )


def caller_context(event: Mapping[str, Any]) -> str:
    """Return, as JSON, what of a request's context the model's function reads: who pays, and the scopes.

    What the tenant had used up is left out: a job that was accepted is run.
    """
    context = event.get("requestContext") or {}
    found: dict[str, Any] = {}
    if authorizer := context.get("authorizer"):
        found["authorizer"] = {name: authorizer.get(name, "") for name in ("tenant", "scopes", "key")}
    if account := (context.get("identity") or {}).get("accountId"):
        found["identity"] = {"accountId": account}
    return orjson.dumps({name: value for name, value in found.items() if value}).decode()


def _malformed(what: str, received: str) -> MalformedRequestError:
    expected = '{"model": NAME, "request": {...}}, and "version" and "webhook" if wanted'
    return MalformedRequestError(what, expected=expected, received=received)
