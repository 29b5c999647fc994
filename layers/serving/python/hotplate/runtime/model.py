"""A loaded model: a session between two pure functions, behind its public signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import InferenceError
from hotplate.protocol.types import InferenceRequest, InferenceResponse, Tensor

if TYPE_CHECKING:
    from hotplate.manifest.schema import Manifest
    from hotplate.runtime.ledger import Ledger
    from hotplate.runtime.session import Session
    from hotplate.runtime.staged import StagedSession

__all__ = ["Model", "Transforms"]

type Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True)
class Transforms:
    """What a function puts around its graph. Both are pure; neither knows where it runs.

    Attributes:
        preprocess: Validated inputs by public name → the graph's feeds. Raises `RequestError`s.
        postprocess: The graph's outputs → outputs by public name.
    """

    preprocess: Callable[[Arrays], Arrays]
    postprocess: Callable[[Arrays], Arrays]


@dataclass(frozen=True, slots=True)
class Model:
    """Everything a request needs.

    Attributes:
        manifest, version: What is served.
        session: The graph.
        transforms: The function's own steps; None serves the graph's tensors as they are.
        ledger: How long each phase of loading took.
    """

    manifest: Manifest
    version: str
    session: Session | StagedSession
    transforms: Transforms | None
    ledger: Ledger

    def predict(self, request: InferenceRequest) -> InferenceResponse:
        """Return the answer: preprocess, run, postprocess, the outputs asked for.

        Raises:
            RequestError: Preprocessing found the values unfit.
            InferenceError: The graph failed, or did not give what the manifest declares.
        """
        arrays: Arrays = {tensor.name: tensor.array for tensor in request.inputs}
        if self.transforms:
            feeds = self.transforms.preprocess(arrays)
            results = self.transforms.postprocess(self.session.run(feeds, self.session.output_names))
        else:
            results = self.session.run(arrays, [output.name for output in request.outputs])
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
