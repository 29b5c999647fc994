"""What a call fails with, besides input that does not fit (`hotplate.errors.RequestError`)."""

from __future__ import annotations

import orjson

from hotplate.errors import HotplateError

__all__ = ["ApiError", "UnreachableError"]

_SHOWN = 200


class UnreachableError(HotplateError):
    """Nobody answered, or not in time."""


class ApiError(HotplateError):
    """The API answered that it cannot.

    Attributes:
        status: HTTP status.
        kind: Name of the error class, as `ShapeMismatchError`; empty if the answer names none.
        detail: In words.
        request_id: To be found in the function's log; empty if there is none.
    """

    def __init__(self, status: int, kind: str, detail: str, request_id: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.kind = kind
        self.detail = detail
        self.request_id = request_id

    @classmethod
    def from_answer(cls, status: int, body: bytes, request_id: str) -> ApiError:
        """Return the error in an answer, whoever wrote it: a function, API Gateway, a proxy."""
        try:
            problem = orjson.loads(body)
        except orjson.JSONDecodeError:
            problem = None
        members = problem if isinstance(problem, dict) else {}
        detail = next(
            (text for name in ("detail", "error", "message") if isinstance(text := members.get(name), str)),
            body[:_SHOWN].decode(errors="replace") or "no reason given",
        )
        kind = members.get("type")
        kind = kind.rpartition(":")[2] if isinstance(kind, str) else ""
        return cls(status, kind, detail, request_id)
