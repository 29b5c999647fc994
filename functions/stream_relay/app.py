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
from hotplate.http.answers import answer_error, log_fault
from hotplate.http.caller import caller_of, refuse_spent
from hotplate.http.event import HttpRequest, HttpResponse, read_event, write_result
from hotplate.http.forwarding import allowed_models, refuse_unknown
from hotplate.http.usage import UsageLine
from hotplate.settings import RelaySettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.http.event import TimedContext
    from hotplate.streaming import StreamedResponse

_settings = RelaySettings.from_environ(os.environ)
_asking = Asking(_settings, os.environ)
_VERBS = ("infer", "generate", "generate_stream")


def lambda_handler(event: Mapping[str, Any], context: TimedContext) -> StreamedResponse | dict[str, Any]:
    """Answer one API Gateway request."""
    usage = UsageLine(context)
    request: HttpRequest | None = None
    try:
        request = read_event(event)
        usage.bytes_in, usage.caller = len(request.body), caller_of(event)
        refuse_spent(usage.caller)
        model = _model_of(request, allowed_models(usage.caller, _settings.functions))
        return _asking.ask(model, request, event, context)
    except Exception as fault:  # the edge: whatever went wrong below has an answer
        log_fault(fault, context.aws_request_id)
        answer = answer_error(fault, request, context.aws_request_id)
        headers = {**answer.headers, "x-request-id": context.aws_request_id}
        if answer.status < 500:  # what was forwarded has its line from the function that was asked
            usage.write(answer.status, len(answer.body))
        return write_result(HttpResponse(answer.status, answer.body, headers, answer.content_type))


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
