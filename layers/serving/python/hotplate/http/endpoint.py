"""A model's endpoint: the whole way of one request, and what happens when the model cannot load.

The model is loaded when the endpoint is built, in Lambda's init phase. If that fails the endpoint
still stands and answers 503 or 500 with the fault's name: a broken init would make Lambda start
the process again for every request, and tell the caller nothing. Each later request tries to load
again, so that a fault which passes (S3 was slow) heals by itself, and one which does not (a blob
was altered) stays an error; at most one load is tried within the `Retry-After` that is answered.

Two deployments want it otherwise. A model whose loading would outlast init is loaded by the first request
(`late`). And nobody waits for an environment that a snapshot is taken of: if it fails there is none, and the
version is not published (`strict`).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import orjson

from hotplate.errors import HotplateError, ModelNotFoundError, ModelNotReadyError, TooManyRowsError
from hotplate.http.answers import RETRY_AFTER_S, answer_error, log_fault, status_of
from hotplate.http.caller import caller_of, refuse_other_tenant, refuse_spent
from hotplate.http.card import CardShelf
from hotplate.http.event import HttpRequest, HttpResponse, read_event, write_result
from hotplate.http.metadata import metadata_of
from hotplate.http.rehearsal import rehearse
from hotplate.http.routes import Route, route_of
from hotplate.http.usage import UsageLine
from hotplate.observability import fault_log, write_line
from hotplate.protocol.request import decode_request
from hotplate.protocol.response import encode_response
from hotplate.runtime.deadline import DEADLINE
from hotplate.runtime.memory import memory_use_mb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hotplate.http.event import LambdaContext, TimedContext
    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.references import Reference
    from hotplate.protocol.types import InferenceRequest, InferenceResponse
    from hotplate.runtime.model import Model

    type WorkOnFiles = Callable[[Mapping[str, Any], Model, Any, float], dict[str, Any]]

__all__ = ["Endpoint"]

_LENGTH_HEADER = "inference-header-content-length"
# Characters of what a run is told of a fault. Ours.
_LONGEST_REASON = 500
# Of Lambda's own time-out what is left to answer a model that was stopped, in seconds. Ours.
_LAST_WORDS_S = 1.0


class Endpoint:
    """Callable as a Lambda handler: `endpoint(event, context)` returns a proxy result."""

    def __init__(
        self,
        load: Callable[[], Model],
        read_card: Callable[[Manifest], bytes] | None = None,
        read_input: Callable[[Reference, str | None], memoryview] | None = None,
        submit: Callable[[Mapping[str, Any]], dict[str, Any] | None] | None = None,
        work_on_files: WorkOnFiles | None = None,
        keep: Callable[[bytes, str, str | None], str] | None = None,
        *,
        capture: tuple[float, Callable[[str, bytes, str], None]] | None = None,
        late: bool = False,
        strict: bool = False,
        bounded: bool = True,
        is_isolated: bool = False,
        answer_within_s: float | None = None,
    ) -> None:
        """Load the model now, or late.

        Args:
            load: Called again later if it fails.
            read_card: Returns the card of the version, when it is first asked for; None: it has none.
            read_input: Returns what an input refers to, for a tenant; None: references are not taken.
            submit: Hands an event on to be worked on later and returns the result that its caller gets; None,
                as what it returns: nobody takes such, and the request is answered at once.
            work_on_files: Answers what is asked by `batch` of an event, which no request of API Gateway has.
            keep: Keeps an answer that does not fit a call, of a content type, for a tenant, and returns its
                address; None: such answers are refused.
            capture: Share of the requests that is kept with their answers, and what puts an object for that.
            late: Load with the first request.
            strict: Raise what loading now raises.
            bounded: Take no more rows than the version's plan says, which is about Lambda.
            is_isolated: Lambda keeps each tenant's environments apart; what comes to another's is refused.
            answer_within_s: What the model may take for one request; None: any time.
        """
        self._load = load
        self._cards = CardShelf(read_card)
        self._read_input = read_input
        self._submit = submit
        self._work_on_files = work_on_files
        self._keep = keep
        self._capture = capture
        self._bounded = bounded
        self._is_isolated = is_isolated
        self._answer_within_s = answer_within_s
        self._cold = True
        self._model: Model | None = None
        self._fault: Exception | None = None
        self._tried_at = -math.inf
        rehearse()
        if not late:
            self._try_to_load()
        if strict and self._fault:
            raise self._fault

    def __call__(self, event: Mapping[str, Any], context: TimedContext) -> dict[str, Any]:
        """Answer one request. Nothing is raised: every fault has an answer and a line in the log."""
        if "batch" in event and self._work_on_files:
            return {"batch": self._work(self._work_on_files, event, context)}
        started = time.perf_counter()
        usage = UsageLine(context, started)
        request: HttpRequest | None = None
        try:
            request = read_event(event)
            usage.bytes_in = len(request.body)
            usage.caller = caller_of(event)
            refuse_other_tenant(usage.caller, context, is_isolated=self._is_isolated)
            refuse_spent(usage.caller)
            if "prefer" in request.headers and (taken := self._taken(request, event)):
                return taken  # its usage line comes from who works on it
            left_s = context.get_remaining_time_in_millis() / 1000 - _LAST_WORDS_S
            with DEADLINE.within(self._answer_within_s, left_s=left_s):
                response = self._answer(request, usage)
            result = write_result(self._finish(response, usage, started))
            # What one function asks another for is part of a request that is kept where it came.
            if self._capture and self._model and "requestContext" in event and request.method == "POST":
                self._kept(self._capture, request, response, usage, self._model)
        except Exception as fault:  # the edge: whatever went wrong below has an answer
            log_fault(fault, usage.request_id)
            response = answer_error(fault, request, usage.request_id)
            result = write_result(self._finish(response, usage, started))
        self._write(usage, response.status, len(response.body))
        return result

    def respond(self, request: HttpRequest, usage: UsageLine) -> HttpResponse:
        """Answer a request that did not come by Lambda, and whose caller `usage` knows; else as a call."""
        usage.bytes_in = len(request.body)
        try:
            response = self._answer(request, usage)
        except Exception as fault:  # the edge, as above
            log_fault(fault, usage.request_id)
            response = answer_error(fault, request, usage.request_id)
        finished = self._finish(response, usage, usage.started)
        self._write(usage, response.status, len(response.body))
        return finished

    def after_restore(self, check: Callable[[Manifest], None]) -> None:
        """Begin again in an environment restored from a snapshot.

        Args:
            check: Raises unless the manifest is the one that is pinned.
        """
        if self._model is None:
            raise ModelNotReadyError("the snapshot holds no model")
        ledger = self._model.ledger
        ledger.restart()
        with ledger.phase("restore"):
            check(self._model.manifest)
        self._cold = True
        self._write_ledger("restored", self._model)

    def _work(self, work: WorkOnFiles, event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answer what the function of batch asks; it writes the usage line, once for what was kept."""
        try:
            refuse_other_tenant(caller_of(event), context, is_isolated=self._is_isolated)
            model = self._ready_model()
            answer = work(event["batch"], model, context, model.ledger.total_ms if self._cold else 0)
        except Exception as fault:  # the edge: the worker decides what becomes of it
            log_fault(fault, context.aws_request_id)
            reason = (
                f"{type(fault).__name__}: {fault}" if isinstance(fault, HotplateError) else "InternalError"
            )
            return {"fault": {"status": status_of(fault), "reason": reason[:_LONGEST_REASON]}}
        self._cold = False
        return answer

    def _write(self, usage: UsageLine, status: int, size: int) -> None:
        """Write the line of a request that was answered with `size` bytes."""
        model = self._model
        usage.write(
            status,
            size,
            model=model.manifest.name if model else None,
            version=model.version if model else None,
            cold=self._cold,
            init_ms=model.ledger.total_ms if model and self._cold else 0,
        )
        self._cold = self._cold and model is None

    @staticmethod
    def _kept(
        capture: tuple[float, Callable[[str, bytes, str], None]],
        request: HttpRequest,
        response: HttpResponse,
        usage: UsageLine,
        model: Model,
    ) -> None:
        """Keep the request with its answer, if it is of those that are kept."""
        from hotplate.http import captures

        share, put = capture
        if captures.is_sampled(usage.request_id, share):
            captures.capture(request, response, usage, model, put)

    def _taken(self, request: HttpRequest, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the result for a caller who does not wait; None for one who does."""
        from hotplate.http.preferences import prefers_async

        if self._submit is None or request.method != "POST" or not prefers_async(request.headers["prefer"]):
            return None
        return self._submit(event)

    def _answer(self, request: HttpRequest, usage: UsageLine) -> HttpResponse:
        if request.segments[:1] != ("v2",):
            return self._answer_alias(request, usage)
        route = route_of(request)
        model = self._ready_model()
        _check_served(route, model)
        if route.verb == "infer":
            return self._infer(request, model, usage)
        if route.verb == "explain":
            from hotplate.http.explanations import answer_explain

            return answer_explain(model, self._decoded(request, model, usage))
        if route.verb == "ready":
            return HttpResponse(200, orjson.dumps({"name": model.manifest.name, "ready": True}))
        if route.verb == "card":
            return self._cards.answer(model.manifest)
        return HttpResponse(200, orjson.dumps(metadata_of(model.manifest, model.version)))

    def _answer_alias(self, request: HttpRequest, usage: UsageLine) -> HttpResponse:
        """Answer a path of another protocol, whose codec is imported at the first request for it."""
        from hotplate.http.aliases import answer_alias, named_model

        name, model = named_model(request), self._ready_model()
        if name is not None:
            _check_served(Route("infer", name, None), model)

        def predict(decoded: InferenceRequest) -> InferenceResponse:
            self._count(decoded, model, usage)
            return model.predict(decoded)

        def explain(decoded: InferenceRequest) -> HttpResponse:
            from hotplate.http.explanations import explanations

            self._count(decoded, model, usage)
            return explanations(model, decoded)

        return answer_alias(request, model.manifest, predict, explain, self._fetch(usage))

    def _infer(self, request: HttpRequest, model: Model, usage: UsageLine) -> HttpResponse:
        decoded = self._decoded(request, model, usage)
        predicted = model.predict(decoded)
        body, header_length = encode_response(predicted)
        if header_length is None:
            answer = HttpResponse(200, body)
        else:
            answer = HttpResponse(200, body, {_LENGTH_HEADER: str(header_length)}, "application/octet-stream")
        keep = self._keep
        if keep is None or "output_by_reference" not in decoded.parameters:
            return answer
        from hotplate.http.outputs import fitting

        return fitting(
            answer, predicted, decoded.parameters, lambda body, kind: keep(body, kind, usage.caller.tenant)
        )

    def _decoded(self, request: HttpRequest, model: Model, usage: UsageLine) -> InferenceRequest:
        decoded = decode_request(
            request.body,
            header_length=request.headers.get(_LENGTH_HEADER),
            inputs=model.manifest.inputs,
            outputs=model.manifest.outputs,
            fetch=self._fetch(usage),
        )
        self._count(decoded, model, usage)
        return decoded

    def _fetch(self, usage: UsageLine) -> Callable[[Reference], memoryview] | None:
        """Return what reads the caller's references; None where none are taken."""
        read = self._read_input
        return None if read is None else lambda reference: read(reference, usage.caller.tenant)

    def _count(self, decoded: InferenceRequest, model: Model, usage: UsageLine) -> None:
        """Count the rows, and refuse more than the plan takes."""
        usage.rows = rows = _rows(decoded)
        most = model.manifest.plan.max_rows
        if most is not None and rows > most and self._bounded:
            raise TooManyRowsError("rows", expected=f"at most {most} in one request", received=str(rows))

    def _finish(self, response: HttpResponse, usage: UsageLine, started: float) -> HttpResponse:
        """Return the response with the headers that every answer carries."""
        headers = {**response.headers, "x-request-id": usage.request_id}
        timing = [f"total;dur={(time.perf_counter() - started) * 1000:.2f}"]
        if self._model:
            headers["hotplate-model-version"] = self._model.version
            if self._cold:
                timing = [f"{phase};dur={ms}" for phase, ms in self._model.ledger.phases.items()] + timing
        headers["server-timing"] = ", ".join(timing)
        return HttpResponse(response.status, response.body, headers, response.content_type)

    def _ready_model(self) -> Model:
        if self._model is None and time.monotonic() - self._tried_at >= RETRY_AFTER_S:
            self._try_to_load()
            DEADLINE.begin()  # loading was not the model's time
        if self._model is None:
            # The same fault is raised for many requests; without its old frames it does not grow.
            raise (self._fault or ModelNotReadyError("not loaded")).with_traceback(None)
        return self._model

    def _try_to_load(self) -> None:
        try:
            self._model, self._fault = self._load(), None
        except Exception as fault:  # raised, it would make Lambda start the process anew for ever
            # Whole, because no request is known here that it could quote.
            fault_log().error(str(fault), request_id="init", error=type(fault).__name__, exc_info=fault)
            self._fault = _without_frames(fault)
            self._tried_at = time.monotonic()
        else:
            self._write_ledger("cold", self._model)

    @staticmethod
    def _write_ledger(kind: str, model: Model) -> None:
        ledger = model.ledger
        write_line(
            kind,
            {
                "model": model.manifest.name,
                "version": model.version,
                "phases_ms": ledger.phases,
                "beside_ms": ledger.beside,
                "total_ms": ledger.total_ms,
                "memory_mb": memory_use_mb(),
                "notes": ledger.notes,
            },
        )


def _without_frames(fault: Exception) -> Exception:
    """Return the fault with nothing that its frames hold, such as a model half fetched; the log has them."""
    each: BaseException | None = fault
    while each and each.__traceback__:  # one without was never raised, or was met before: chains may be rings
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return fault


def _check_served(route: Route, model: Model) -> None:
    served = model.manifest.name
    if route.model != served:
        raise ModelNotFoundError(f"unknown model {route.model[:80]!r}; this endpoint serves {served!r}")
    if route.version not in (None, model.version):
        raise ModelNotFoundError(
            f"unknown version {str(route.version)[:80]!r} of {served!r}; "
            f"this endpoint serves {model.version!r}"
        )


def _rows(request: InferenceRequest) -> int:
    array = request.inputs[0].array
    return int(array.shape[0]) if array.ndim else 1
