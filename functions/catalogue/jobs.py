"""The routes of jobs, for the OpenAPI document. Source: docs/16-jobs.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    type Json = dict[str, Any]

__all__ = ["TAKEN", "job_paths"]

_ID: Json = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"},
}
_COUNT: Json = {"type": "integer", "minimum": 0}
_TEXT: Json = {"type": "string"}
_STATUS: Json = {
    "type": "object",
    "required": ["id", "state", "model", "version", "created", "updated", "expires", "attempts"],
    "properties": {
        "id": _TEXT,
        "state": {"enum": ["queued", "running", "succeeded", "failed", "cancelled"]},
        "model": _TEXT,
        "version": {"type": ["string", "null"]},
        **dict.fromkeys(("created", "updated", "expires", "attempts"), _COUNT),
        "webhook": {
            "type": "object",
            "required": ["url", "state", "status"],
            "properties": {
                "url": _TEXT,
                "state": {"enum": ["waiting", "delivered", "given up"]},
                "status": {"type": ["integer", "null"]},
            },
        },
        "error": {"type": "object", "properties": {"status": _COUNT, "body": _TEXT}},
        "answer": {
            "type": "object",
            "required": ["url", "bytes", "headers"],
            "properties": {"url": _TEXT, "bytes": _COUNT, "headers": {"type": "object"}, "body": {}},
        },
    },
}
_PLACES: Json = {"Location": {"schema": _TEXT}, "Retry-After": {"schema": _TEXT}}
# The answer to a request for a model whose caller prefers not to wait.
TAKEN: Json = {
    "description": "Taken (`Prefer: respond-async`, or where the model runs); the answer is at Location",
    "headers": {**_PLACES, "Preference-Applied": {"schema": _TEXT}},
    "content": {"application/json": {"schema": _STATUS}},
}
_SUBMISSION: Json = {
    "type": "object",
    "required": ["model", "request"],
    "additionalProperties": False,
    "properties": {
        "model": {"type": "string", "minLength": 1},
        "request": {"type": "object"},
        "version": {"type": "string", "pattern": "^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$"},
        "webhook": {"type": "string", "format": "uri", "maxLength": 2000},
    },
}


def job_paths(operation: Callable[..., Json]) -> Json:
    """Return the routes, each made by `operation`, which adds what API Gateway answers."""
    content = {"application/json": {"schema": _STATUS}}

    def submit(summary: str, parameters: list[Json]) -> Json:
        made = operation(summary, content, (400, 402, 404, 409, 413), parameters=parameters)
        made["responses"]["202"] = made["responses"].pop("200") | {"headers": _PLACES}
        sent = {"required": True, "content": {"application/json": {"schema": _SUBMISSION}}}
        return made | {"requestBody": sent}

    return {
        "/jobs": {"post": submit("Submit a job under an id that the server chooses", [])},
        "/jobs/{id}": {
            "put": submit("Submit a job; the same again is the same job", [_ID]),
            "get": operation("What became of a job", content, (404,), parameters=[_ID]),
            "delete": operation("Cancel a job", content, (404, 409), parameters=[_ID]),
        },
    }
