"""OpenAI's chat completions and completions: bodies to what is to be generated, answers to bodies and events.

Rules kept here:

1. An option that is not done here is refused by its name, and so is one that is not known: ignored, it would
   mislead. One that says nothing but what is done anyway (`n: 1`, `logprobs: false`) is taken.
2. What callers write is text; see `hotplate.generation.chat`.
3. Usage is the tokenizer's count: of the prompt with its marks, of the answer without the mark that ended it.

Source: OpenAI API reference, "Create chat completion", "Create completion", "Streaming".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hotplate.errors import (
    MalformedRequestError,
    MissingInputError,
    ModelNotFoundError,
    UnsupportedOptionError,
    ValueRangeError,
)
from hotplate.generation.chat import ROLES, Message
from hotplate.generation.generator import Asked
from hotplate.protocol.json_document import excerpt, is_array, mapping, parse

if TYPE_CHECKING:
    from hotplate.generation.generator import Vocabulary

__all__ = ["Completion", "Kind", "Options", "read_completion", "read_options"]

type Kind = Literal["chat", "text"]

_COMMON = ("model", "temperature", "top_p", "stop", "seed", "stream", "stream_options", "max_tokens", "user")
_OWN: dict[Kind, tuple[str, ...]] = {"chat": ("messages", "max_completion_tokens"), "text": ("prompt",)}
# What says no more than what is done anyway.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True, False),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
}
_MAX_STOPS = 4
_MAX_TEMPERATURE = 2.0
# Both of 64 bits, so that every JSON reader has them whole.
_SEEDS = (-(2**63), 2**63 - 1)


class Options(NamedTuple):
    """How is generated; see `Asked`. `most` is None where nothing was said."""

    most: int | None
    temperature: float
    top_p: float
    seed: int | None
    stops: tuple[str, ...]


class Completion(NamedTuple):
    """A request, understood.

    Attributes:
        kind: `chat` or `text`.
        asked: What to generate.
        streams: Whether the answer comes in events.
        tells_usage: Whether the last event is the usage.
    """

    kind: Kind
    asked: Asked
    streams: bool
    tells_usage: bool


def read_completion(body: bytes, kind: Kind, vocabulary: Vocabulary, served: str) -> Completion:
    """Return the request in a body.

    Args:
        body: JSON.
        kind: Of the path.
        vocabulary: Of the model.
        served: Its name, which the body has to name.

    Raises:
        ModelNotFoundError: It names another.
        RequestError: Not such a body, an option that is not done here, or more tokens than the context holds.
    """
    sent = _members(body, kind)
    _check_model(sent.get("model"), served)
    options = read_options(sent)
    if kind == "chat":
        ids, most = vocabulary.of_messages(_messages(sent.get("messages")), options.most)
    else:
        ids, most = vocabulary.of_text(_prompt(sent.get("prompt")), options.most)
    streams = _flag(sent.get("stream", False), "stream")
    told = mapping(sent.get("stream_options", {}), what="stream_options")
    if unknown := [name for name in told if name != "include_usage"]:
        raise UnsupportedOptionError("stream_options", expected="include_usage", received=excerpt(unknown[0]))
    if told and not streams:
        raise ValueRangeError("stream_options", expected="nothing without stream", received="an object")
    asked = Asked(ids, most, options.temperature, options.top_p, options.seed, options.stops)
    return Completion(kind, asked, streams, _flag(told.get("include_usage", False), "stream_options"))


def read_options(sent: dict[str, Any]) -> Options:
    """Return the options among a body's members; OpenAI's values where nothing is said.

    Raises:
        ValueRangeError: One is none of its kind, or out of its range.
    """
    limits = {name: sent[name] for name in ("max_tokens", "max_completion_tokens") if name in sent}
    if len(limits) > 1:
        raise ValueRangeError("max_tokens", expected="one of it and max_completion_tokens", received="both")
    most = next((_whole(value, name, (1, 2**31 - 1)) for name, value in limits.items()), None)
    temperature = _number(sent.get("temperature", 1), "temperature", 0, _MAX_TEMPERATURE)
    top_p = _number(sent.get("top_p", 1), "top_p", 0, 1)
    seed = _whole(sent["seed"], "seed", _SEEDS) if "seed" in sent else None
    # A mass of nothing leaves the likeliest token alone, as OpenAI has it.
    return Options(most, temperature if top_p else 0.0, top_p or 1.0, seed, _stops(sent.get("stop", [])))


def _members(body: bytes, kind: Kind) -> dict[str, Any]:
    """Return the members of the body, null ones left out.

    Raises:
        UnsupportedOptionError: One is not done here.
    """
    sent = {
        name: value for name, value in mapping(parse(body), what="the request").items() if value is not None
    }
    known = (*_COMMON, *_OWN[kind])
    for name, value in sent.items():
        if name in known:
            continue
        neutral = _NEUTRAL.get(name)
        if neutral is None:
            raise UnsupportedOptionError(name[:60], expected="no such option here", received=excerpt(value))
        if not any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in neutral):
            expected = " or ".join(map(excerpt, neutral)) if neutral[0] not in ([], {}) else "nothing in it"
            raise UnsupportedOptionError(name, expected=expected, received=excerpt(value))
    return {name: sent[name] for name in sent if name in known}


def _check_model(node: Any, served: str) -> None:
    if not isinstance(node, str) or not node:
        raise MissingInputError("model", expected="the name of a model", received=excerpt(node))
    if node != served:
        raise ModelNotFoundError(f"unknown model {node[:80]!r}; here is: {served}")


def _messages(node: Any) -> list[Message]:
    if not is_array(node) or not len(node):
        raise MalformedRequestError(
            "messages", expected="an array of one message or more", received=excerpt(node)
        )
    return [_message(each, f"messages[{at}]") for at, each in enumerate(node)]


def _message(node: Any, what: str) -> Message:
    sent = {name: value for name, value in mapping(node, what=what).items() if value is not None}
    if unknown := [name for name in sent if name not in ("role", "content", "refusal")]:
        raise UnsupportedOptionError(f"{what}.{unknown[0]}"[:80], expected="role and content", received="it")
    role = "system" if sent.get("role") == "developer" else sent.get("role")
    if role not in ROLES:
        expected = f"{', '.join(ROLES)} or developer"
        raise ValueRangeError(f"{what}.role", expected=expected, received=excerpt(sent.get("role")))
    return Message(role, _content(sent.get("content"), f"{what}.content"))


def _content(node: Any, what: str) -> str:
    if isinstance(node, str):
        return node
    if not is_array(node):
        raise MalformedRequestError(what, expected="a text, or an array of parts", received=excerpt(node))
    texts = []
    for each in node:
        part = mapping(each, what=what)
        if part.get("type") != "text" or not isinstance(part.get("text"), str):
            received = excerpt(part.get("type"))
            raise UnsupportedOptionError(what, expected="parts of type text", received=received)
        texts.append(part["text"])
    return "".join(texts)


def _prompt(node: Any) -> str:
    if is_array(node) and len(node) == 1:
        node = node[0]
    if node is None:
        raise MissingInputError("prompt", expected="a text", received="none")
    if not isinstance(node, str):
        raise UnsupportedOptionError("prompt", expected="one text", received=excerpt(node))
    return node


def _stops(node: Any) -> tuple[str, ...]:
    stops = (node,) if isinstance(node, str) else tuple(node) if is_array(node) else None
    if stops is None or len(stops) > _MAX_STOPS or not all(isinstance(each, str) and each for each in stops):
        expected = f"a text, or at most {_MAX_STOPS} of them, none empty"
        raise ValueRangeError("stop", expected=expected, received=excerpt(node))
    return stops


def _flag(node: Any, what: str) -> bool:
    if not isinstance(node, bool):
        raise MalformedRequestError(what, expected="true or false", received=excerpt(node))
    return node


def _number(node: Any, what: str, least: float, most: float) -> float:
    if isinstance(node, bool) or not isinstance(node, int | float) or not least <= node <= most:
        raise ValueRangeError(what, expected=f"a number from {least:g} to {most:g}", received=excerpt(node))
    return float(node)


def _whole(node: Any, what: str, bounds: tuple[int, int]) -> int:
    if type(node) is not int or not bounds[0] <= node <= bounds[1]:
        expected = f"a whole number from {bounds[0]} to {bounds[1]}"
        raise ValueRangeError(what, expected=expected, received=excerpt(node))
    return node
