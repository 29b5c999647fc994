"""Hands a request on to the function of the model that it names.

The paths are those of `hotplate.http.aliases`, and `/v2/models/{model}/infer` of models whose route the
template gives to this function, because they have a fallback (`functions.relay.asking`). The event goes on as
it came, and the function's answer comes back as it is; nothing here knows a protocol beyond where it names
the model.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from functions.relay.asking import Asking
from hotplate.errors import MissingInputError
from hotplate.http.aliases import TARGET_MODEL, named_model
from hotplate.http.answers import answer_error, log_fault
from hotplate.http.caller import caller_of, refuse_spent
from hotplate.http.event import HttpRequest, HttpResponse, read_event, write_result
from hotplate.http.forwarding import allowed_models, refuse_unknown
from hotplate.http.routes import route_of
from hotplate.http.usage import UsageLine
from hotplate.settings import RelaySettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.http.event import LambdaContext

_settings = RelaySettings.from_environ(os.environ)
_asking = Asking(_settings, os.environ)


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway request."""
    usage = UsageLine(context)
    request: HttpRequest | None = None
    try:
        request = read_event(event)
        usage.bytes_in, usage.caller = len(request.body), caller_of(event)
        refuse_spent(usage.caller)
        model = _model_of(request, allowed_models(usage.caller, _settings.functions))
        return _asking.ask(model, request, event)
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
        HotplateError: There is none.
    """
    name = route_of(request).model if request.segments[:1] == ("v2",) else named_model(request)
    if name is None:
        if len(models) != 1:
            raise MissingInputError(
                f"the header {TARGET_MODEL}",
                expected=f"one of {', '.join(models)}",
                received="no such header",
            )
        return models[0]
    refuse_unknown(name, models)
    return name
