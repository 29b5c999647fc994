"""JSON Schemas of what the API answers whatever the model is; `openapi.py` has the rest.

Source: Open Inference Protocol v2; RFC 9457; OpenAI API reference.
"""

from __future__ import annotations

from typing import Any

from hotplate.limits import MAX_UPLOAD_BYTES
from hotplate.tenants.uploads import CONTENT_TYPES

__all__ = ["COMPONENTS", "ref"]

type Json = dict[str, Any]


def ref(name: str) -> Json:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: dict[str, Json], more: dict[str, Json] | None = None) -> Json:
    return {"type": "object", "required": [*required], "properties": {**required, **(more or {})}}


def _array(items: Json) -> Json:
    return {"type": "array", "items": items}


_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_TENSOR = _object(
    {"name": _TEXT, "datatype": _TEXT, "shape": _array({"type": "integer", "minimum": -1})},
    {"parameters": {"type": "object"}},
)
_PROBLEM: dict[str, Json] = {
    "type": _TEXT,
    "title": _TEXT,
    "status": {"type": "integer"},
    "detail": _TEXT,
    "instance": _TEXT,
    "expected": _TEXT,
    "received": _TEXT,
    "upload": _object({"method": _TEXT, "path": _TEXT}),
}
_NULLABLE: Json = {"type": ["string", "null"]}

COMPONENTS: dict[str, Json] = {
    "Error": _object({"error": _TEXT}, _PROBLEM),
    "OpenaiError": _object(
        {"error": _object({"message": _TEXT, "type": _TEXT, "param": _NULLABLE, "code": _NULLABLE})}, _PROBLEM
    ),
    "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": _array(_TEXT)}),
    "Live": _object({"live": {"type": "boolean"}}),
    "Ready": _object({"ready": {"type": "boolean"}}),
    "ModelReady": _object({"name": _TEXT, "ready": {"type": "boolean"}}),
    "IndexRequest": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    "Index": _array(
        _object(
            {"name": _TEXT, "version": _TEXT, "state": {"enum": ["READY", "UNAVAILABLE"]}, "reason": _TEXT}
        )
    ),
    "Metadata": _object(
        {
            "name": _TEXT,
            "versions": _array(_TEXT),
            "platform": _TEXT,
            "inputs": _array(_TENSOR),
            "outputs": _array(_TENSOR),
        },
        {"parameters": {"type": "object"}},
    ),
    "OpenaiModel": _object(
        {"id": _TEXT, "object": {"const": "model"}, "created": _COUNT, "owned_by": _TEXT},
        {
            "inputs": _array(_TENSOR),
            "outputs": _array(_TENSOR),
            "size": _COUNT,
            "tier": _TEXT,
            "memory_mb": {"type": ["integer", "null"], "minimum": 0},
        },
    ),
    "OpenaiList": _object(
        {"object": {"const": "list"}, "data": _array({"$ref": "#/components/schemas/OpenaiModel"})}
    ),
    "Embeddings": _object(
        {
            "object": {"const": "list"},
            "model": _TEXT,
            "data": _array(
                _object(
                    {
                        "object": {"const": "embedding"},
                        "index": _COUNT,
                        "embedding": {"anyOf": [_array({"type": "number"}), _TEXT]},
                    }
                )
            ),
            "usage": _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT}),
        }
    ),
    "Predictions": _object({"predictions": {"type": ["array", "object"]}}),
    "UploadRequest": _object(
        {
            "size": {"type": "integer", "minimum": 1, "maximum": MAX_UPLOAD_BYTES},
            "content_type": {"enum": list(CONTENT_TYPES)},
        }
    ),
    "Upload": _object(
        {
            "upload_url": _TEXT,
            "method": {"const": "PUT"},
            "headers": {"type": "object", "additionalProperties": _TEXT},
            "input_uri": _TEXT,
            "expires_at": {"type": "string", "format": "date-time"},
        }
    ),
}
