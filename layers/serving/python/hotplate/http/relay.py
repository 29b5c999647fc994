"""The edge of the functions that hand requests on to the models' own: for whom, and what is refused.

What is handed on has its usage line from the function that was asked; what is refused here has one from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hotplate.http.answers import answer_error, log_fault
from hotplate.http.caller import caller_of, refuse_spent
from hotplate.http.event import HttpResponse, read_event, write_result
from hotplate.http.forwarding import allowed_models
from hotplate.http.usage import UsageLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hotplate.http.event import HttpRequest, LambdaContext

__all__ = ["relayed"]


def relayed[T](
    event: Mapping[str, Any],
    context: LambdaContext,
    *,
    models: Iterable[str],
    model_of: Callable[[HttpRequest, Sequence[str]], str],
    ask: Callable[[str, HttpRequest], T],
) -> T | dict[str, Any]:
    """Return what `ask` answers a request, or the proxy result of its refusal. Nothing is raised.

    Args:
        event: As API Gateway sends it.
        context: Lambda's.
        models: All that have a function.
        model_of: Returns the model that a request is for, one of those that its caller may ask.
        ask: Asks that model.
    """
    usage = UsageLine(context)
    request: HttpRequest | None = None
    try:
        request = read_event(event)
        usage.bytes_in, usage.caller = len(request.body), caller_of(event)
        refuse_spent(usage.caller)
        return ask(model_of(request, allowed_models(usage.caller, models)), request)
    except Exception as fault:  # the edge: whatever went wrong below has an answer
        log_fault(fault, context.aws_request_id)
        answer = answer_error(fault, request, context.aws_request_id)
        headers = {**answer.headers, "x-request-id": context.aws_request_id}
        if answer.status < 500:  # a fault of ours, or of the function that was asked and has its line
            usage.write(answer.status, len(answer.body))
        return write_result(HttpResponse(answer.status, answer.body, headers, answer.content_type))
