"""The generate extension of the Open Inference Protocol: a text in, a text out, whole or in events.

    {"id": "…", "text_input": "…", "parameters": {"max_tokens": 64, "temperature": 0}}
    {"id": "…", "model_name": "…", "model_version": "…", "text_output": "…", "finish_reason": "stop",
    "usage": {…}}

Parameters are those of OpenAI's completions, with its values where nothing is said; the text is gone on with
as it is. Each event of `generate_stream` has the piece that is new; the last one has why it is the last.

Source: KServe, Open Inference Protocol, "Generate REST Endpoints" (`generate_rest.yaml`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from hotplate.errors import MissingInputError, UnsupportedOptionError
from hotplate.generation.generator import Asked
from hotplate.http.completion_answers import event
from hotplate.http.completions import read_options
from hotplate.protocol.json_document import excerpt, mapping, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.generation.generator import Answer, Vocabulary

__all__ = ["Generate", "GenerateStyle", "read_generate"]

_PARAMETERS = ("max_tokens", "temperature", "top_p", "seed", "stop")


class Generate(NamedTuple):
    """A request, understood; `id` is None where none came."""

    id: str | None
    asked: Asked


def read_generate(body: bytes, vocabulary: Vocabulary) -> Generate:
    """Return the request in a body.

    Raises:
        RequestError: Not such a body, a parameter that is not done here, or too many tokens.
    """
    sent = {
        name: value for name, value in mapping(parse(body), what="the request").items() if value is not None
    }
    _refuse_unknown(sent, ("id", "text_input", "parameters"))
    parameters = mapping(sent.get("parameters", {}), what="parameters")
    _refuse_unknown(parameters, _PARAMETERS)
    text, name = sent.get("text_input"), sent.get("id")
    if not isinstance(text, str):
        raise MissingInputError("text_input", expected="a text", received=excerpt(text))
    if name is not None and not isinstance(name, str):
        raise MissingInputError("id", expected="a text, or nothing", received=excerpt(name))
    options = read_options({key: value for key, value in parameters.items() if value is not None})
    ids, most = vocabulary.of_text(text, options.most)
    asked = Asked(ids, most, options.temperature, options.top_p, options.seed, options.stops)
    return Generate(name, asked)


class GenerateStyle(NamedTuple):
    """What is in every body of one answer."""

    id: str | None
    model: str
    version: str

    def body(self, text: str, answer: Answer) -> bytes:
        """Return the whole answer."""
        return orjson.dumps(self._document(text) | _end(answer))

    def events(self, pieces: Iterator[str], answer: Answer) -> Iterator[bytes]:
        """Yield the events of an answer: `b""` for a piece that is not sure yet."""
        for piece in pieces:
            yield event(self._document(piece)) if piece else b""
        yield event(self._document("") | _end(answer))

    def _document(self, text: str) -> dict[str, Any]:
        named = {} if self.id is None else {"id": self.id}
        return {**named, "model_name": self.model, "model_version": self.version, "text_output": text}


def _end(answer: Answer) -> dict[str, Any]:
    usage = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.tokens}
    return {"finish_reason": answer.reason, "usage": usage}


def _refuse_unknown(sent: dict[str, Any], known: tuple[str, ...]) -> None:
    if unknown := [name for name in sent if name not in known]:
        received = excerpt(sent[unknown[0]])
        raise UnsupportedOptionError(
            unknown[0][:60], expected=f"one of {', '.join(known)}", received=received
        )
