"""Asks a model's function, and its fallback where that cannot answer; see `hotplate.http.fallback`.

Rules kept, beside those of the relay that gives answers whole (one step; the scopes are those of the model
that was asked; tenants stay apart; what the fallback fails at is not heard of):

1. Who answers is decided before a byte has left: by the status of the model's function, or by Lambda's where
   that cannot be called. An error is read whole first, because its class says whether a limit was passed.
2. What fails later is an event of the stream, told once, and the answer breaks off.
3. The caller hears something within the relay's time-out, which is less than API Gateway lets a stream be
   silent; a model with a fallback has its share of that.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from hotplate.errors import StepError
from hotplate.http.completion_answers import error_event, generate_error_event
from hotplate.http.fallback import HEADER, reason_of, redirected
from hotplate.http.forwarding import stand_ins
from hotplate.http.streams import ModelStreams
from hotplate.observability import fault_log
from hotplate.streaming import StreamedResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hotplate.http.event import HttpRequest, TimedContext
    from hotplate.http.streams import ModelStream
    from hotplate.settings import RelaySettings

    type Outcome = ModelStream | dict[str, Any] | StepError

__all__ = ["Asking"]

# Least seconds that a fallback is given. Ours, as the next ones.
LEAST_S = 2.0
# What a model with a fallback has of the relay's time: as where answers are whole, 20 of 28 s.
SHARE = 5 / 7
# What is left of the function's own time when it says that the rest does not come, in seconds.
LAST_WORDS_S = 1.0
# Longer is no error event of ours, in bytes.
_TAIL_BYTES = 4096


class Asking:
    """The models' functions, and what stands in for them."""

    def __init__(
        self,
        settings: RelaySettings,
        environ: Mapping[str, str],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take credentials from `environ`, for each call anew; `now` is a clock that never goes back."""
        self._timeout_s, self._now = settings.timeout_s, now
        self._models = ModelStreams(settings, environ)
        self._fallbacks = stand_ins(settings)

    def ask(
        self, model: str, request: HttpRequest, event: Mapping[str, Any], context: TimedContext
    ) -> StreamedResponse | dict[str, Any]:
        """Return the answer of the model's function, or of its fallback, as it begins.

        Raises:
            StepError: The function did not answer, and nothing else did.
        """
        until = self._now() + self._timeout_s
        fallback = self._fallbacks.get(model, "")
        outcome = self._begun(model, event, self._timeout_s * (SHARE if fallback else 1))
        reason = _reason(outcome) if fallback else ""
        if reason:
            sent = redirected(event, request, model, fallback, is_again=not isinstance(outcome, StepError))
            answer = sent and self._instead(model, fallback, sent, until - self._now())
            if answer:
                return _given(answer, request, context, f"{fallback}; reason={reason}")
        if isinstance(outcome, StepError):
            raise outcome
        return _given(outcome, request, context)

    def close(self) -> None:
        """End the connection."""
        self._models.close()

    def _begun(self, model: str, event: Mapping[str, Any], timeout_s: float) -> Outcome:
        """Return an answer that has begun, one whole if it is an error, or what was raised instead."""
        until = self._now() + timeout_s
        try:
            answer = self._models.begin(model, event, timeout_s=timeout_s)
            return answer if answer.status < 400 else answer.whole(lambda: until - self._now())
        except StepError as fault:
            return fault

    def _instead(
        self, model: str, fallback: str, event: Mapping[str, Any], left_s: float
    ) -> ModelStream | dict[str, Any] | None:
        """Return the fallback's answer; None where it has none, or there is no time for one."""
        if not self._models.has(fallback):
            why = "it is not deployed, or generates no text"
        elif left_s < LEAST_S:
            why = "no time is left"
        else:
            outcome = self._begun(fallback, event, left_s)
            if isinstance(outcome, StepError):
                why = str(outcome)
            else:
                status = outcome["statusCode"] if isinstance(outcome, dict) else outcome.status
                if status < 500 and status != 429:
                    return outcome
                why = f"it answered {status}"
        fault_log().error("a fallback did not answer", model=model, fallback=fallback, error=why)
        return None


def _reason(outcome: Outcome) -> str:
    return reason_of(outcome) if isinstance(outcome, dict | StepError) else ""  # has begun, so it answers


def _given(
    answer: ModelStream | dict[str, Any], request: HttpRequest, context: TimedContext, instead: str = ""
) -> StreamedResponse | dict[str, Any]:
    """Return an answer as the function's own; `instead` says who gives it, and why."""
    if isinstance(answer, dict):
        return {**answer, "headers": {**answer["headers"], HEADER: instead}} if instead else answer
    passed = _Passed(answer, request, context)
    headers = {**answer.headers, HEADER: instead} if instead else answer.headers
    return StreamedResponse(answer.status, headers, passed.chunks(), passed.last_words)


class _Passed:
    """The body of a model's answer on its way, and what is said where the rest does not come."""

    def __init__(self, answer: ModelStream, request: HttpRequest, context: TimedContext) -> None:
        self._answer, self._context = answer, context
        self._is_openai = request.segments[0] != "v2"
        kind = answer.headers.get("content-type")
        self._has_events = isinstance(kind, str) and kind.startswith("text/event-stream")
        self._tail = b""

    def chunks(self) -> Iterator[bytes]:
        with closing(self._answer.chunks(self._left_s)) as parts:  # so who hangs up here does so there
            for part in parts:
                self._tail = (self._tail + part)[-_TAIL_BYTES:]
                yield part

    def last_words(self, fault: Exception) -> bytes:
        """Return an event for the fault, unless the model's function has told it."""
        last = self._tail.rstrip(b"\n").rpartition(b"\n\n")[2]
        if not self._has_events or last.startswith(b'data: {"error":'):
            return b""
        written = error_event if self._is_openai else generate_error_event
        return written(fault, self._context.aws_request_id)

    def _left_s(self) -> float:
        return self._context.get_remaining_time_in_millis() / 1000 - LAST_WORDS_S
