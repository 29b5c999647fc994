"""A loaded model: what computes, behind its public signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import numpy as np

from hotplate.errors import InferenceError
from hotplate.protocol.types import InferenceRequest, InferenceResponse, Tensor

if TYPE_CHECKING:
    from hotplate.manifest.schema import Manifest  # noqa: TC004 - nobody reads these annotations
    from hotplate.runtime.ledger import Ledger  # noqa: TC004 - likewise
    from hotplate.runtime.session import Session
    from hotplate.runtime.staged import StagedSession
    from hotplate.runtime.transforms import Transforms

__all__ = ["Arrays", "Model", "Predictor", "TransformedGraph"]

type Arrays = Mapping[str, np.ndarray[Any, Any]]


class Predictor(Protocol):
    """What computes: a graph with its steps, or a program."""

    def run(self, inputs: Arrays, wanted: Sequence[str]) -> Arrays:
        """Return at least the outputs called `wanted`, by public name.

        Args:
            inputs: Validated, by public name.
            wanted: Outputs that the caller asked for.

        Raises:
            RequestError: The values are unfit.
            InferenceError: It failed.
        """
        ...


class TransformedGraph(NamedTuple):
    """A graph between the function's own steps; without them its tensors are served as they are."""

    session: Session | StagedSession
    transforms: Transforms | None

    def run(self, inputs: Arrays, wanted: Sequence[str]) -> Arrays:
        """Preprocess, run, postprocess."""
        if not self.transforms:
            return self.session.run(inputs, wanted)
        return self.transforms.apply(inputs, self.session.run_all)


class Model(msgspec.Struct, frozen=True):
    """Everything a request needs.

    Attributes:
        manifest, version: What is served.
        predictor: What computes.
        ledger: How long each phase of loading took.
    """

    manifest: Manifest
    version: str
    predictor: Predictor
    ledger: Ledger

    def predict(self, request: InferenceRequest) -> InferenceResponse:
        """Return the answer: the outputs asked for.

        Raises:
            RequestError: The values are unfit.
            InferenceError: It failed, or did not give what the manifest declares.
        """
        arrays: Arrays = {tensor.name: tensor.array for tensor in request.inputs}
        results = self.predictor.run(arrays, [output.name for output in request.outputs])
        return InferenceResponse(
            model_name=self.manifest.name,
            model_version=self.version,
            id=request.id,
            outputs=tuple(self._output(output.name, results) for output in request.outputs),
            binary=frozenset(output.name for output in request.outputs if output.binary),
        )

    def _output(self, name: str, results: Arrays) -> Tensor:
        declared = next(spec for spec in self.manifest.outputs if spec.name == name)
        array = results.get(name)
        if array is None:
            raise InferenceError(f"the model gave no output {name!r}, its manifest declares one")
        return Tensor(name, declared.datatype, np.asarray(array, order="C"))
