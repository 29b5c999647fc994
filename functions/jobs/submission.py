"""What a caller sends to have worked on, read and checked; and a job, as its caller is told of it. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from hotplate.errors import JobNotFoundError, MalformedRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.aws.job_table import Job

__all__ = ["Submission", "caller_context", "read_id", "read_submission", "status_of_job"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_VERSION = _ID


class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a submission.

    Attributes:
        model: What is asked.
        request: What it is asked: the body for its infer route, byte by byte as it was sent.
        version: Of the model; "" for whichever is served when the job is run.
    """

    model: str
    request: msgspec.Raw
    version: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the whole, in hex: two jobs that have it in common ask the same."""
        named = orjson.dumps([self.model, self.version])
        return hashlib.sha256(named + b"\n" + bytes(self.request)).hexdigest()


def read_submission(body: bytes) -> Submission:
    """Return the submission in a body.

    Raises:
        MalformedRequestError: It is none.
    """
    try:
        found = msgspec.json.decode(body, type=Submission)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise _malformed("body", str(fault)[:200]) from fault
    if not bytes(found.request).startswith(b"{"):
        raise _malformed("request", "no JSON object")
    if found.version and not _VERSION.fullmatch(found.version):
        raise MalformedRequestError(
            "version", expected="letters, digits, `.`, `_`, `-`", received=found.version[:80]
        )
    return found


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


def status_of_job(job: Job) -> dict[str, Any]:
    """Return what the caller is told of a job, without its answer; times are seconds since 1970."""
    told: dict[str, Any] = {
        "id": job.id,
        "state": job.state,
        "model": job.model,
        "version": job.version or None,
        "created": job.created,
        "updated": job.updated,
        "expires": job.gone_at,
        "attempts": job.attempts,
    }
    return told | ({"error": job.error} if job.error else {})


def _malformed(what: str, received: str) -> MalformedRequestError:
    expected = '{"model": NAME, "request": {...}}, and "version" if wanted'
    return MalformedRequestError(what, expected=expected, received=received)
