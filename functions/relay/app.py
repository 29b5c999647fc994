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
from hotplate.http.forwarding import refuse_unknown
from hotplate.http.relay import relayed
from hotplate.http.routes import route_of
from hotplate.settings import RelaySettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.http.event import HttpRequest, LambdaContext

_settings = RelaySettings.from_environ(os.environ)
_asking = Asking(_settings, os.environ)


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway request."""
    return relayed(
        event,
        context,
        models=_settings.functions,
        model_of=_model_of,
        ask=lambda model, request: _asking.ask(model, request, event),
    )


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
