"""Keeps a share of the requests that were answered, with their answers, where the operator wants that.

Rules kept:

1. Nothing is kept unless the stack says so (`CaptureShare`), and never more than that share.
2. Which requests is decided by their ids, so by chance, and the same wherever it is asked.
3. Keeping fails in silence for the caller: the answer is his all the same. The log says so.
4. Members of JSON whose names look like secrets are left out; headers are not kept at all.
"""

from __future__ import annotations

import binascii
import time
from typing import TYPE_CHECKING, Any

import orjson
import pybase64

from hotplate.errors import HotplateError
from hotplate.observability import fault_log, words_of
from hotplate.tenants.captures import capture_key, redacted
from hotplate.tenants.usage import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplate.http.event import HttpRequest, HttpResponse
    from hotplate.http.usage import UsageLine
    from hotplate.runtime.model import Model

__all__ = ["SUBJECT", "capture", "is_sampled"]

# By which a caller says whom a request is about.
SUBJECT = "hotplate-subject"
_MAX_SUBJECT = 256


def is_sampled(request_id: str, share: float) -> bool:
    """Return whether a request is among the share, 0 to 1, that is kept."""
    return binascii.crc32(request_id.encode()) < share * 2**32


def capture(
    request: HttpRequest,
    response: HttpResponse,
    usage: UsageLine,
    model: Model,
    put: Callable[[str, bytes, str], None],
) -> None:
    """Keep a request with its answer by `put`, which takes key, body and content type."""
    now, name = time.time(), model.manifest.name
    tenant, subject = usage.caller.tenant or INTERNAL, request.headers.get(SUBJECT, "")[:_MAX_SUBJECT]
    key = capture_key(tenant, subject, name, usage.request_id, now)
    try:
        record = {
            "at": round(now, 3),
            "request_id": usage.request_id,
            "model": name,
            "version": model.version,
            "path": "/" + "/".join(request.segments),
            "request": _body(request.body, request.headers.get("content-type", "application/json")),
            "answer": _body(response.body, response.content_type),
        }
        put(key, orjson.dumps(record), "application/json")
    except (HotplateError, OSError, RecursionError, orjson.JSONEncodeError) as fault:  # or JSON too deep
        fault_log().warning("a request is not kept", request_id=usage.request_id, error=words_of(fault))


def _body(raw: bytes, content_type: str) -> dict[str, Any]:
    """Return a body as JSON without secrets, or else in base64."""
    try:
        return {"json": redacted(orjson.loads(raw))}
    except orjson.JSONDecodeError:
        return {"base64": pybase64.b64encode_as_string(raw), "content_type": content_type}
