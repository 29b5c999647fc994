"""Hands a request of another protocol on to the function of the model that it names.

The paths are those of `hotplate.http.aliases`. The event goes on as it came, and the function's answer comes
back as it is; nothing here knows a protocol beyond where it names the model.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import orjson

from hotplate.aws.functions import FunctionCaller
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import (
    HotplateError,
    MissingInputError,
    ModelNotFoundError,
    StepError,
    StepUnavailableError,
)
from hotplate.http.aliases import TARGET_MODEL, named_model
from hotplate.http.answers import answer_error, status_of
from hotplate.http.caller import caller_of, refuse_spent
from hotplate.http.event import HttpRequest, HttpResponse, read_event, write_result
from hotplate.http.usage import UsageLine
from hotplate.observability import fault_log
from hotplate.settings import RelaySettings
from hotplate.tenants.keys import read_scopes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.http.caller import Caller
    from hotplate.http.event import LambdaContext

_settings = RelaySettings.from_environ(os.environ)
_caller = FunctionCaller(
    region=_settings.region,
    endpoint=_settings.endpoint,
    credentials=lambda: Credentials.from_environ(os.environ),
    timeout_s=_settings.timeout_s,
)


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one API Gateway request."""
    usage = UsageLine(context)
    request: HttpRequest | None = None
    try:
        request = read_event(event)
        usage.bytes_in, usage.caller = len(request.body), caller_of(event)
        refuse_spent(usage.caller)
        return _forward(_model_of(request, _allowed(usage.caller)), event)
    except Exception as fault:  # the edge: whatever went wrong below has an answer
        if status_of(fault) >= 500:
            fault_log().error(
                str(fault), request_id=context.aws_request_id, error=type(fault).__name__, exc_info=fault
            )
        answer = answer_error(fault, request, context.aws_request_id)
        headers = {**answer.headers, "x-request-id": context.aws_request_id}
        if answer.status < 500:  # what was forwarded has its line from the function that was asked
            usage.write(answer.status, len(answer.body))
        return write_result(HttpResponse(answer.status, answer.body, headers, answer.content_type))


def _allowed(caller: Caller) -> list[str]:
    """Return the models that the caller may ask; all where nobody is asked who it is."""
    scopes = None if caller.scopes is None else read_scopes(caller.scopes.split())
    return [name for name in _settings.functions if scopes is None or scopes.allow("infer", name)]


def _model_of(request: HttpRequest, models: Sequence[str]) -> str:
    """Return the model that the request is for, one of `models`.

    Raises:
        HotplateError: There is none.
    """
    name = named_model(request)
    if name is None:
        if len(models) != 1:
            raise MissingInputError(
                f"the header {TARGET_MODEL}",
                expected=f"one of {', '.join(models)}",
                received="no such header",
            )
        return models[0]
    if name not in models:
        raise ModelNotFoundError(
            f"unknown model {name[:80]!r}; this server has: {', '.join(models) or 'none'}"
        )
    return name


def _forward(model: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model's function answers.

    Raises:
        StepError: It did not.
    """
    try:
        result: dict[str, Any] = orjson.loads(_caller.call(_settings.functions[model], orjson.dumps(event)))
    except StepUnavailableError as fault:
        raise StepUnavailableError(f"model {model!r}: {fault}; try again") from fault
    except HotplateError as fault:
        raise StepError(f"model {model!r}: {fault}") from fault
    return result
