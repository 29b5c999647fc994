"""Hands a request on to the function of the model that it names, and the answer back while it is made.

Its paths are those of models that generate text and have a fallback (`functions.stream_relay.asking`):
`infer`, `generate` and `generate_stream` of such a model, and OpenAI's completions, which name their model in
the body. It is run by `hotplate.streaming.loop`. The event goes on as it came.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from functions.stream_relay.asking import Asking
from hotplate.errors import UnknownPathError
from hotplate.http.aliases import completion_kind, model_in_body
from hotplate.http.forwarding import refuse_unknown
from hotplate.http.relay import relayed
from hotplate.settings import RelaySettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.http.event import HttpRequest, TimedContext
    from hotplate.streaming import StreamedResponse

_settings = RelaySettings.from_environ(os.environ)
_asking = Asking(_settings, os.environ)
_VERBS = ("infer", "generate", "generate_stream")


def lambda_handler(event: Mapping[str, Any], context: TimedContext) -> StreamedResponse | dict[str, Any]:
    """Answer one API Gateway request."""
    return relayed(
        event,
        context,
        models=_settings.functions,
        model_of=_model_of,
        ask=lambda model, request: _asking.ask(model, request, event, context),
    )


def _model_of(request: HttpRequest, models: Sequence[str]) -> str:
    """Return the model that the request is for, one of `models`.

    Raises:
        HotplateError: There is none, or the path is none of these.
    """
    segments = request.segments
    if completion_kind(segments):
        name = model_in_body(request)
    elif segments[:2] == ("v2", "models") and len(segments) == 4 and segments[3] in _VERBS:
        name = segments[2]
    else:
        raise UnknownPathError(
            "path",
            expected=f"a model's {', '.join(_VERBS)}, or OpenAI's completions",
            received="/".join(segments)[:200],
        )
    refuse_unknown(name, models)
    return name
