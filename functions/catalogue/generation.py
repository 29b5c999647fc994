"""What models that generate text add to the OpenAPI document: completions, and the generate extension.

Source: OpenAI API reference, "Create chat completion", "Create completion"; KServe, `generate_rest.yaml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    type Json = dict[str, Any]

__all__ = ["completion_bodies", "generate_bodies"]

_OPTIONS: Json = {
    "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 2**31 - 1},
    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
    "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "seed": {"type": ["integer", "null"], "minimum": -(2**63), "maximum": 2**63 - 1},
    "stop": {
        "anyOf": [
            {"type": "null"},
            {"type": "string", "minLength": 1},
            {"type": "array", "maxItems": 4, "items": {"type": "string", "minLength": 1}},
        ]
    },
}
_MESSAGE: Json = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant"]},
        "content": {"type": "string"},
    },
    "additionalProperties": False,
}
_USAGE: Json = {"type": "object", "required": ["prompt_tokens", "completion_tokens"]}


def completion_bodies(models: Sequence[str]) -> dict[str, tuple[str, Json, Json]]:
    """Return what each path after `/v1` is, takes and answers, by path."""
    name: Json = {"type": "string", "enum": [*models]} if models else {"type": "string", "minLength": 1}
    common: Json = {"model": name, **_OPTIONS, "stream": {"type": ["boolean", "null"]}}
    messages = {"type": "array", "minItems": 1, "items": _MESSAGE}
    chat = _object(
        {"messages": messages, **common, "max_completion_tokens": _OPTIONS["max_tokens"]}, "messages"
    )
    text = _object({"prompt": {"type": "string"}, **common}, "prompt")
    return {
        "/chat/completions": ("The answer to a conversation", chat, _answer("chat.completion")),
        "/completions": ("What comes after a text", text, _answer("text_completion")),
    }


def generate_bodies() -> tuple[Json, Json]:
    """Return what `…/generate` and `…/generate_stream` take, and what the first answers."""
    # Null counts as absent, as everywhere in the protocol.
    parameters = {"type": ["object", "null"], "properties": _OPTIONS, "additionalProperties": False}
    members = {"id": {"type": ["string", "null"]}, "text_input": {"type": "string"}, "parameters": parameters}
    sent = {
        "type": "object",
        "required": ["text_input"],
        "properties": members,
        "additionalProperties": False,
    }
    texts = ("model_name", "model_version", "text_output")
    told = {"finish_reason": {"enum": ["stop", "length"]}, "usage": _USAGE}
    answer = {
        "type": "object",
        "required": [*texts, *told],
        "properties": {**{each: {"type": "string"} for each in texts}, **told},
    }
    return sent, answer


def _object(properties: Json, what: str) -> Json:
    # Options that change nothing are taken too, and are in the docs; none is needed.
    return {
        "type": "object",
        "required": ["model", what],
        "properties": properties,
        "additionalProperties": False,
    }


def _answer(kind: str) -> Json:
    return {
        "type": "object",
        "required": ["id", "object", "created", "model", "choices", "usage"],
        "properties": {
            "object": {"const": kind},
            "choices": {"type": "array", "minItems": 1, "maxItems": 1},
            "usage": _USAGE,
        },
    }
