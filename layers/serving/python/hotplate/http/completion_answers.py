"""OpenAI's answers to completions: one body, or events while the answer is made; errors in any stream.

Source: OpenAI API reference, "The chat completion object", "The chat completion chunk object", "Streaming".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from hotplate.http.answers import openai_error, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.generation.generator import Answer
    from hotplate.http.completions import Kind

__all__ = ["DONE", "Style", "error_event", "event", "generate_error_event"]

DONE = b"data: [DONE]\n\n"


class Style(NamedTuple):
    """What is in every body of one answer.

    Attributes:
        kind: `chat` or `text`.
        request_id: Of the request.
        created: When, in seconds since 1970.
        model, version: What answers.
        tells_usage: Whether events end with the usage.
    """

    kind: Kind
    request_id: str
    created: int
    model: str
    version: str
    tells_usage: bool

    def body(self, text: str, answer: Answer) -> bytes:
        """Return the whole answer."""
        said: dict[str, Any] = {"text": text}
        if self.kind == "chat":
            said = {"message": {"role": "assistant", "content": text, "refusal": None}}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": answer.reason}
        whole = "chat.completion" if self.kind == "chat" else "text_completion"
        return orjson.dumps(self._document(whole) | {"choices": [choice], "usage": _usage(answer)})

    def events(self, pieces: Iterator[str], answer: Answer) -> Iterator[bytes]:
        """Yield the events of an answer: `b""` for a piece that is not sure yet."""
        if self.kind == "chat":
            yield self._chunk({"role": "assistant", "content": ""})
        for piece in pieces:
            yield self._chunk({"content": piece}, piece) if piece else b""
        yield self._chunk({}, reason=answer.reason)
        if self.tells_usage:
            yield event(self._document(self._part) | {"choices": [], "usage": _usage(answer)})
        yield DONE

    @property
    def _part(self) -> str:
        return "chat.completion.chunk" if self.kind == "chat" else "text_completion"

    def _chunk(self, delta: dict[str, str], text: str = "", *, reason: str | None = None) -> bytes:
        said: dict[str, Any] = {"delta": delta} if self.kind == "chat" else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        document = self._document(self._part) | {"choices": [choice]}
        return event(document | {"usage": None} if self.tells_usage else document)

    def _document(self, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self.kind == "chat" else "cmpl"
        return {
            "id": f"{prefix}-{self.request_id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.version,
        }


def event(document: Any) -> bytes:
    """Return one server-sent event."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def error_event(fault: BaseException, request_id: str) -> bytes:
    """Return the event that tells a caller why the rest of an answer does not come."""
    return event({"error": openai_error(fault, max(status_of(fault), 500), _unfinished(request_id))})


def generate_error_event(fault: BaseException, request_id: str) -> bytes:
    """Return the same where a text is generated in the Open Inference Protocol's words."""
    return event({"error": _unfinished(request_id)})


def _unfinished(request_id: str) -> str:
    return f"the answer could not be finished (request {request_id}); the function's log says more"


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.tokens,
        "total_tokens": answer.prompt_tokens + answer.tokens,
        "prompt_tokens_details": {"cached_tokens": answer.reused},
    }
