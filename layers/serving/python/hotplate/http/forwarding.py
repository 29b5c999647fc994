"""What every function needs that asks the models' own functions: which a caller may ask, and how to ask."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

from hotplate.aws.functions import FunctionCaller
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import HotplateError, ModelNotFoundError, StepError, StepUnavailableError
from hotplate.http.caller import tenant_told
from hotplate.observability import fault_log
from hotplate.tenants.keys import read_scopes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hotplate.http.caller import Caller
    from hotplate.settings import RelaySettings

__all__ = ["Models", "allowed_models", "faults_of", "refuse_unknown", "stand_ins"]


class Models:
    """The models' functions."""

    def __init__(self, settings: RelaySettings, environ: Mapping[str, str]) -> None:
        """Take credentials from `environ`, for each call anew. Connect when first used."""
        self._functions = settings.functions
        self._isolated = settings.isolated
        self._caller = FunctionCaller(
            region=settings.region,
            endpoint=settings.endpoint,
            credentials=lambda: Credentials.from_environ(environ),
            timeout_s=settings.timeout_s,
        )

    def has(self, model: str) -> bool:
        """Return whether the model has a function here."""
        return model in self._functions

    def ask(self, model: str, event: Mapping[str, Any], *, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the proxy result of the model's function for a proxy event.

        Args:
            model: One that is here.
            event: As API Gateway would send it.
            timeout_s: That the answer may take; None for what the settings say.

        Raises:
            StepError: It did not answer.
            StepTimeoutError: Not in time.
            StepUnavailableError: It was busy or not ready.
        """
        with faults_of(model):
            function, tenant = self._functions[model], tenant_told(model, event, self._isolated)
            result: dict[str, Any] = orjson.loads(
                self._caller.call(function, orjson.dumps(event), tenant, timeout_s=timeout_s)
            )
        return result


@contextmanager
def faults_of(model: str) -> Iterator[None]:
    """Say whose fault it is that comes from inside: of the model's function."""
    try:
        yield
    except StepUnavailableError as fault:
        raise StepUnavailableError(f"model {model!r}: {fault}; try again") from fault
    except StepError as fault:
        raise type(fault)(f"model {model!r}: {fault}") from fault
    except HotplateError as fault:  # no credentials
        raise StepError(f"model {model!r}: {fault}") from fault


def stand_ins(settings: RelaySettings) -> dict[str, str]:
    """Return who may be asked instead, by model.

    Who keeps a model's tenants apart has them apart: what does not isolate (SageMaker's endpoint isolates
    nobody) stands in for no model that does, and the log says so.
    """
    mixing = {
        model: fallback
        for model, fallback in settings.fallbacks.items()
        if model in settings.isolated and fallback not in settings.isolated
    }
    for model, fallback in mixing.items():
        fault_log().error(
            "a fallback that does not keep tenants apart is not asked", model=model, fallback=fallback
        )
    return {model: each for model, each in settings.fallbacks.items() if model not in mixing}


def allowed_models(caller: Caller, models: Iterable[str]) -> list[str]:
    """Return those of `models` that the caller may ask; all where nobody is asked who it is."""
    scopes = None if caller.scopes is None else read_scopes(caller.scopes.split())
    return [name for name in models if scopes is None or scopes.allow("infer", name)]


def refuse_unknown(name: str, models: Sequence[str]) -> None:
    """Refuse a model that is none of `models`.

    Raises:
        ModelNotFoundError: It is none.
    """
    if name not in models:
        raise ModelNotFoundError(
            f"unknown model {name[:80]!r}; this server has: {', '.join(models) or 'none'}"
        )
