"""What every function needs that asks the models' own functions: which a caller may ask, and how to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from hotplate.aws.functions import FunctionCaller
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import HotplateError, ModelNotFoundError, StepError, StepUnavailableError
from hotplate.http.caller import tenant_told
from hotplate.tenants.keys import read_scopes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hotplate.http.caller import Caller
    from hotplate.settings import RelaySettings

__all__ = ["Models", "allowed_models", "refuse_unknown"]


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
        try:
            function, tenant = self._functions[model], tenant_told(model, event, self._isolated)
            result: dict[str, Any] = orjson.loads(
                self._caller.call(function, orjson.dumps(event), tenant, timeout_s=timeout_s)
            )
        except StepUnavailableError as fault:
            raise StepUnavailableError(f"model {model!r}: {fault}; try again") from fault
        except StepError as fault:
            raise type(fault)(f"model {model!r}: {fault}") from fault
        except HotplateError as fault:  # no credentials
            raise StepError(f"model {model!r}: {fault}") from fault
        return result


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
