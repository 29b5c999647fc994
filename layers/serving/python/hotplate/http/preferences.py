"""What a caller prefers, where there is a choice: to wait for the answer, or to fetch it later.

Source: RFC 7240, "Prefer Header for HTTP", section 4.1.
"""

from __future__ import annotations

__all__ = ["APPLIED", "prefers_async"]

_ASYNC = "respond-async"
# What says that the preference was followed.
APPLIED = {"preference-applied": _ASYNC}


def prefers_async(prefer: str) -> bool:
    """Return whether a `Prefer` header asks for an answer that is fetched later.

    `wait`, which may come with it, is not followed: how long a model takes is not known before.
    """
    preferences = (each.partition(";")[0].strip().lower() for each in prefer.split(","))
    return _ASYNC in preferences
