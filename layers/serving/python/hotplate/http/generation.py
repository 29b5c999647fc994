"""The endpoint of a model that generates text: OpenAI's completions, and the generate extension.

| method and path | protocol |
|---|---|
| `POST /v1/chat/completions`, `/openai/v1/chat/completions` | OpenAI |
| `POST /v1/completions`, `/openai/v1/completions` | OpenAI |
| `POST /v2/models/{model}[/versions/{version}]/generate`, `…/generate_stream` | Open Inference Protocol |

Everything else is `hotplate.http.endpoint`'s.

Rules kept here:

1. A stream begins when its first token is there: what fails before that is an answer with a status.
2. What fails after it is an event of the stream's protocol, and a line in the log; the stream never just
ends.
3. A request has one usage line, whole, failed or cut by the caller (status 499); a stream's is written at
its end.
"""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from hotplate.errors import InferenceError, ModelNotFoundError, UnknownPathError
from hotplate.generation.loading import TextModel
from hotplate.http.aliases import completion_kind
from hotplate.http.answers import answer_error, log_fault, status_of
from hotplate.http.caller import caller_of, refuse_other_tenant, refuse_spent
from hotplate.http.completion_answers import Style, error_event, generate_error_event
from hotplate.http.completions import read_completion
from hotplate.http.endpoint import Endpoint
from hotplate.http.event import HttpRequest, HttpResponse, read_event, write_result
from hotplate.http.generation_bodies import GenerateStyle, read_generate
from hotplate.http.usage import UsageLine
from hotplate.observability import words_of
from hotplate.streaming import StreamedResponse
from hotplate.tenants.keys import read_scopes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hotplate.generation.generator import Answer, Asked
    from hotplate.http.event import TimedContext

__all__ = ["GenerationEndpoint"]

# A caller who has gone. Source: nginx, "Client Closed Request".
_GONE = 499
_GENERATE = ("generate", "generate_stream")


class _Work(NamedTuple):
    """A request, understood: what to generate, how it is told, and how a fault within events is."""

    asked: Asked
    style: Style | GenerateStyle
    streams: bool
    error: Callable[[BaseException, str], bytes]


class GenerationEndpoint(Endpoint):
    """Callable as the handler of a streaming function: returns a proxy result, or a `StreamedResponse`."""

    # Whose prompt the graph remembers: by the time and the count of cached tokens another tenant could tell
    # what was asked.
    _tenant: str | None = None

    def __call__(self, event: Mapping[str, Any], context: TimedContext) -> Any:
        """Answer one request. Nothing is raised: every fault has an answer and a line in the log."""
        if not _is_generation(event):
            return super().__call__(event, context)
        started = time.perf_counter()
        usage = UsageLine(context, started)
        request: HttpRequest | None = None
        try:
            request = read_event(event)
            usage.bytes_in, usage.caller = len(request.body), caller_of(event)
            refuse_other_tenant(usage.caller, context, is_isolated=self._is_isolated)
            refuse_spent(usage.caller)
            model = self._text_model(usage)
            work = _work(request, model, usage.request_id)
            usage.rows = 1
            if work.streams:
                return self._begun(work, model.answer(work.asked), usage, started)
            response = self._whole(work, model.answer(work.asked), usage)
            result = write_result(self._finish(response, usage, started))
        except Exception as fault:  # the edge: whatever went wrong below has an answer
            log_fault(fault, usage.request_id)
            response = answer_error(fault, request, usage.request_id)
            result = write_result(self._finish(response, usage, started))
        self._write(usage, response.status, len(response.body))
        return result

    def _text_model(self, usage: UsageLine) -> TextModel:
        model = self._ready_model()
        assert isinstance(model, TextModel)  # noqa: S101 - what this endpoint is given loads nothing else
        scopes = usage.caller.scopes
        # The way here is open to whoever may ask some model, so whether it is this one is asked here; of a
        # fallback, whether it is the one that was asked.
        asked = usage.caller.asked or model.manifest.name
        if scopes is not None and not read_scopes(scopes.split()).allow("infer", asked):
            raise ModelNotFoundError("unknown model; this server has: none that you may ask")
        if usage.caller.tenant != self._tenant:
            model.graph.forget()
            self._tenant = usage.caller.tenant
        return model

    def _whole(self, work: _Work, answer: Answer, usage: UsageLine) -> HttpResponse:
        try:
            return HttpResponse(200, work.style.body("".join(answer), answer))
        finally:
            usage.tokens = (answer.prompt_tokens, answer.tokens)

    def _begun(self, work: _Work, answer: Answer, usage: UsageLine, started: float) -> StreamedResponse:
        """Return a stream whose first piece is there already."""
        pieces = iter(answer)
        try:
            first = [piece for piece in [next(pieces, None)] if piece is not None]
        finally:
            usage.tokens = (answer.prompt_tokens, answer.tokens)
        head = HttpResponse(200, b"", {"cache-control": "no-cache"}, "text/event-stream; charset=utf-8")
        headers = self._finish(head, usage, started).headers
        events = work.style.events(chain(first, pieces), answer)
        return StreamedResponse(
            200,
            {"content-type": head.content_type, **headers},
            self._told(events, answer, usage),
            lambda fault: work.error(fault, usage.request_id),
        )

    def _told(self, events: Iterator[bytes], answer: Answer, usage: UsageLine) -> Iterator[bytes]:
        """Yield the events, and write the usage line when they end, whoever ends them."""
        status, sent = 200, 0
        try:
            for chunk in events:
                sent += len(chunk)
                yield chunk
        except GeneratorExit:
            status = _GONE
            raise
        except Exception as fault:
            status = max(status_of(fault), 500)
            log_fault(fault, usage.request_id)
            if isinstance(fault, TimeoutError):  # of who runs the function
                raise
            # That one writes what is raised to the log once more, where foreign words may quote the caller.
            raise InferenceError(words_of(fault)) from None
        finally:
            usage.tokens = (answer.prompt_tokens, answer.tokens)
            self._write(usage, status, sent)


def _segments(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)


def _is_generation(event: Mapping[str, Any]) -> bool:
    parts = _segments(str(event.get("path", "")))
    return bool(completion_kind(parts)) or (parts[:2] == ("v2", "models") and parts[-1] in _GENERATE)


def _work(request: HttpRequest, model: TextModel, request_id: str) -> _Work:
    """Return what a request asks.

    Raises:
        RequestError, ModelNotFoundError: It asks nothing that is done here.
    """
    path = "/" + "/".join(request.segments)
    if request.method != "POST":
        raise UnknownPathError("path", expected=f"POST {path}"[:200], received=request.method)
    name, parts = model.manifest.name, _segments(path)
    kind = completion_kind(parts)
    if kind:
        read = read_completion(request.body, kind, model.vocabulary, name)
        style = Style(kind, request_id, int(time.time()), name, model.version, read.tells_usage)
        return _Work(read.asked, style, read.streams, error_event)
    _check_path(parts, model)
    generate = read_generate(request.body, model.vocabulary)
    told = GenerateStyle(generate.id, name, model.version)
    return _Work(generate.asked, told, parts[-1] == "generate_stream", generate_error_event)


def _check_path(parts: tuple[str, ...], model: TextModel) -> None:
    named, between = parts[2], parts[3:-1]
    if named != model.manifest.name:
        raise ModelNotFoundError(
            f"unknown model {named[:80]!r}; this endpoint serves {model.manifest.name!r}"
        )
    if between and between != ("versions", model.version):
        raise ModelNotFoundError(
            f"unknown version {'/'.join(between)[:80]!r} of {named!r}; this endpoint serves {model.version!r}"
        )
