"""The models' functions, as batch asks them: what is served, and to predict a piece of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from hotplate.batch.asked import Described, Fault, PieceAnswer, PieceAsked
from hotplate.errors import BatchError, HotplateError, StepError, StepUnavailableError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from hotplate.aws.functions import FunctionCaller

__all__ = ["FileModels", "ModelFunctions", "PieceRefusedError"]

_BUSY = (429, 503)


class PieceRefusedError(BatchError):
    """The model's function refuses a piece, and would refuse it again."""


class FileModels(Protocol):
    """What the steps of batch need of the models' functions."""

    @property
    def names(self) -> Iterable[str]:
        """The models."""
        ...

    def describe(self, model: str, tenant: str) -> Described:
        """Return what is served."""
        ...

    def predict(self, model: str, function: str, tenant: str, asked: PieceAsked) -> PieceAnswer:
        """Return what became of a piece."""
        ...


class ModelFunctions:
    """The models' functions, called one at a time; `functions` and `isolated` as in `RelaySettings`."""

    def __init__(
        self, functions: Mapping[str, str], caller: FunctionCaller, isolated: Container[str] = ()
    ) -> None:
        self._functions = functions
        self._isolated = isolated
        self._caller = caller

    @property
    def names(self) -> Iterable[str]:
        """The models."""
        return self._functions

    def describe(self, model: str, tenant: str) -> Described:
        """Return what is served of a model to a tenant.

        Raises:
            StepUnavailableError: Its function is busy, slow or not ready.
            StepError: It did not answer.
        """
        return msgspec.convert(
            self._ask(model, self._functions[model], {"ask": "describe"}, tenant), Described
        )

    def predict(self, model: str, function: str, tenant: str, asked: PieceAsked) -> PieceAnswer:
        """Return what became of a piece.

        Args:
            model: What is asked.
            function: Version of its function; "" for its alias.
            tenant: Who pays.
            asked: The piece.

        Raises:
            StepUnavailableError: Its function is busy, slow or not ready.
            StepError: It failed, or did not answer.
            PieceRefusedError: It would fail again.
        """
        name = self._functions[model]
        if function:
            name = f"{name.partition(':')[0]}:{function}"
        return msgspec.convert(self._ask(model, name, msgspec.to_builtins(asked), tenant), PieceAnswer)

    def _ask(self, model: str, function: str, asked: Mapping[str, Any], tenant: str) -> Any:
        context = {"authorizer": {"tenant": tenant, "scopes": f"infer:{model}"}}
        whose = tenant if model in self._isolated else None
        event = msgspec.json.encode({"batch": asked, "requestContext": context})
        try:
            answer = msgspec.json.decode(self._caller.call(function, event, whose))["batch"]
        except StepUnavailableError as fault:
            raise StepUnavailableError(f"model {model!r}: {fault}") from fault
        except HotplateError as fault:
            raise StepError(f"model {model!r}: {fault}") from fault
        except (KeyError, TypeError, msgspec.DecodeError) as fault:
            raise StepError(f"model {model!r}: its function works on no files") from fault
        if "fault" in answer:
            _raise(model, msgspec.convert(answer["fault"], Fault))
        return answer


def _raise(model: str, fault: Fault) -> None:
    text = f"model {model!r}: {fault.reason}"
    if fault.status in _BUSY:
        raise StepUnavailableError(text)
    raise StepError(text) if fault.status >= 500 else PieceRefusedError(text)
