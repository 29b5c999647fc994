"""Asks a model's function, and its fallback where that cannot answer; see `hotplate.http.fallback`.

Rules kept:

1. One step: what the fallback answers is the answer, unless it fails too; then the caller gets what the model
   that was asked said.
2. The caller's scopes are asked for the model that the caller named. Whoever published that chose who stands
   in.
3. Who keeps a model's tenants apart has them apart: what does not isolate stands in for no model that does.
4. Nothing is begun that API Gateway would not wait for: a fallback has what is left of the relay's time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hotplate.errors import StepError
from hotplate.http.fallback import SAGEMAKER, marked, reason_of, redirected
from hotplate.http.forwarding import Models, stand_ins
from hotplate.observability import fault_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hotplate.http.event import HttpRequest
    from hotplate.settings import RelaySettings

__all__ = ["Asking"]

# Least seconds that a fallback is given. Ours.
LEAST_S = 2.0


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
        self._settings = settings
        self._models = Models(settings, environ)
        self._endpoint = Models(settings._replace(functions=settings.gpu_proxy), environ)
        self._now = now
        self._fallbacks = stand_ins(settings)

    def ask(self, model: str, request: HttpRequest, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the proxy result of the model's function, or of its fallback.

        Raises:
            StepError: The function did not answer, and nothing else did.
        """
        until = self._now() + self._settings.timeout_s
        outcome: dict[str, Any] | StepError
        try:
            outcome = self._models.ask(model, event)
        except StepError as fault:
            outcome = fault
        fallback = self._fallbacks.get(model, "")
        reason = reason_of(outcome) if fallback else ""
        if reason:
            sent = redirected(event, request, model, fallback, is_again=not isinstance(outcome, StepError))
            answer = sent and self._instead(model, fallback, sent, until - self._now())
            if answer:
                return marked(answer, fallback, reason)
        if isinstance(outcome, StepError):
            raise outcome
        return outcome

    def _instead(
        self, model: str, fallback: str, event: Mapping[str, Any], left_s: float
    ) -> dict[str, Any] | None:
        """Return the fallback's answer; None where it has none, or there is no time for one."""
        asked = (self._endpoint, model) if fallback == SAGEMAKER else (self._models, fallback)
        why = ""
        if not asked[0].has(asked[1]):
            why = "it is not deployed"
        elif left_s < LEAST_S:
            why = "no time is left"
        else:
            try:
                answer = asked[0].ask(asked[1], event, timeout_s=left_s)
                status = int(answer["statusCode"])
                if status < 500 and status != 429:
                    return answer
                why = f"it answered {status}"
            except StepError as fault:
                why = str(fault)
        fault_log().error("a fallback did not answer", model=model, fallback=fallback, error=why)
        return None
