"""Requests that are kept with their answers, where the operator wants that: where, and without what. Pure.

A key is `captures/<tenant's folder>/<subject>/<model>/<day>/<request id>.json`. The subject is whom a request
is about, as the caller says in `Hotplate-Subject`; of its name only a digest is in the key, and all that is
about it lies in one folder, so that it can be deleted.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any

from hotplate.tenants.folders import folder_of

__all__ = ["REDACTED", "capture_key", "redacted", "subject_prefix"]

REDACTED = "[redacted]"
_SECRET = re.compile(
    r"pass(word|wd|phrase)|secret|token|api[_-]?key|private[_-]?key|authorization|credential|cookie",
    re.IGNORECASE,
)
# Folder of what is about nobody in particular.
_NOBODY = "_"


def subject_prefix(tenant: str, subject: str) -> str:
    """Return where all lies that is about a subject of a tenant."""
    folder = hashlib.sha256(f"{tenant}\0{subject}".encode()).hexdigest()[:32] if subject else _NOBODY
    return f"captures/{folder_of(tenant)}/{folder}/"


def capture_key(tenant: str, subject: str, model: str, request_id: str, at_s: float) -> str:
    """Return the key of a request that came `at_s`, seconds since 1970."""
    day = time.strftime("%Y-%m-%d", time.gmtime(at_s))
    return f"{subject_prefix(tenant, subject)}{model}/{day}/{request_id}.json"


def redacted(node: Any) -> Any:
    """Return JSON without the values of members whose names look like secrets."""
    if isinstance(node, dict):
        return {
            name: REDACTED if _SECRET.search(str(name)) else redacted(value) for name, value in node.items()
        }
    return [redacted(each) for each in node] if isinstance(node, list) else node
