"""The template with the routes of a model at a relay, which asks its fallback where it cannot answer.

`infer` moves to the relay that gives answers whole. Of a model that generates text, `infer`, `generate`,
`generate_stream` and OpenAI's completions move to the relay that streams. Completions name their model in the
body, so there is one route for all models, which only a relay can tell apart: it moves from whichever
function has it. A function whose answers come whole has its time cut, so that something is left of the 29 s
that API Gateway waits. Text is changed, so comments and layout stay as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hotplate_tools.failures import RefusedError
from hotplate_tools.naming import logical_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CHAT_CODE",
    "COMPLETIONS",
    "RELAY",
    "STREAM_RELAY",
    "TIMEOUT_S",
    "answering",
    "is_relayed",
    "relayed",
]

RELAY, STREAM_RELAY = "RelayFunction", "StreamRelayFunction"
# Seconds that a function with a fallback may take; the rest of the relay's 28 s is the fallback's. Ours.
TIMEOUT_S = 20
# What API Gateway waits for the relay that streams, in ms: the function's own time.
_STREAM_MS = 600_000
# The code of functions whose models generate text.
CHAT_CODE = "functions/chat/"
COMPLETIONS = frozenset(
    f"{base}/{what}" for base in ("/v1", "/openai/v1") for what in ("chat/completions", "completions")
)
_VERBS = ("infer", "generate", "generate_stream")

_EVENT = re.compile(r"^        (\w+):\n(?:          .*\n)+", re.M)
_PATH = re.compile(r'\bPath: "?([^",}]+)"?[,}]')


def is_relayed(document: Mapping[str, Any], name: str) -> bool | None:
    """Return whether requests for a model's infer route come to a relay; None if nothing has that route."""
    function = answering(document, name)
    return None if function is None else function in (RELAY, STREAM_RELAY)


def answering(document: Mapping[str, Any], name: str) -> str | None:
    """Return which function requests for a model's infer route come to; None if nothing has that route."""
    for function, resource in document["Resources"].items():
        events = resource.get("Properties", {}).get("Events", {})
        paths = [each["Properties"].get("Path") for each in events.values() if each["Type"] == "Api"]
        if _path(name) in paths:
            return str(function)
    return None


def relayed(text: str, name: str) -> str:
    """Return the template `text` with those routes moved.

    Raises:
        RefusedError: The model's function has no such event, as `hotplate new` writes it.
    """
    prefix = logical_prefix(name)
    function = f"{prefix}Function"
    begin, end = _resource(text, function)
    if f"CodeUri: {CHAT_CODE}\n" in text[begin:end]:
        text = _moved(text, function, STREAM_RELAY, frozenset(_path(name, verb) for verb in _VERBS))
        return _with_completions_moved(text)
    text = _moved(text, function, RELAY, frozenset({_path(name)}))
    begin, end = _resource(text, function)
    return text[:begin] + _in_time(text[begin:end]) + text[end:]


def _with_completions_moved(text: str) -> str:
    functions = re.findall(r"^  (\w+):\n    Type: AWS::Serverless::Function\n", text, re.M)
    for function in functions:
        begin, end = _resource(text, function)
        if function != STREAM_RELAY and any(path in COMPLETIONS for path in _PATH.findall(text[begin:end])):
            text = _moved(text, function, STREAM_RELAY, COMPLETIONS)
    return text


def _moved(text: str, function: str, relay: str, paths: frozenset[str]) -> str:
    """Return the text with a function's events for these paths at the relay; it has one at least."""
    prefix = function.removesuffix("Function")
    begin, end = _resource(text, function)
    own, moved = text[begin:end], ""
    for event in _EVENT.finditer(own):
        path = _PATH.search(event[0])
        if path and path[1] in paths:
            own = own.replace(event[0], "", 1)
            moved += event[0].replace(f"        {event[1]}:", f"        {prefix}{event[1]}:", 1)
    if not moved:
        raise RefusedError(f"{function} has no event for POST {min(paths)} to be moved")
    if relay == STREAM_RELAY:
        moved = re.sub(r"(TimeoutInMillis: )\d+", rf"\g<1>{_STREAM_MS}", moved)
    text = text[:begin] + own + text[end:]
    begin, end = _resource(text, relay)
    return text[:begin] + _with_events(text[begin:end], moved) + text[end:]


def _with_events(resource: str, events: str) -> str:
    if "      Events:\n" in resource:
        return resource.replace("      Events:\n", f"      Events:\n{events}", 1)
    body = resource.rstrip("\n")
    return f"{body}\n      Events:\n{events}{resource[len(body) + 1 :]}"


def _in_time(resource: str) -> str:
    """Return a function's resource with a time of its own, which leaves something to its fallback."""
    handler = re.search(r"^      Handler: .*\n", resource, re.M)
    if not handler or re.search(r"^      Timeout:", resource, re.M):
        return resource
    line = f"      Timeout: {TIMEOUT_S} # What is left of the relay's 28 s is its fallback's.\n"
    return resource.replace(handler[0], handler[0] + line, 1)


def _path(name: str, verb: str = "infer") -> str:
    return f"/v2/models/{name}/{verb}"


def _resource(text: str, key: str) -> tuple[int, int]:
    """Return where the lines of a resource begin and end."""
    found = re.search(rf"^  {key}:\n(?:(?:    .*)?\n)*", text, re.M)
    if not found:
        raise RefusedError(f"template.yaml has no resource {key}")
    return found.span()
