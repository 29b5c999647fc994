"""Rows to answers, and the rows at fault: a batch that the model refuses is halved until they are alone.

Rules kept here:

1. The model is asked as the endpoint asks it: the same object, the same request. A row that it refuses alone
   is set aside with the words of what was expected; so is one on which it fails alone.
2. A model that fails on every row is at fault itself: that is raised, and no row is blamed.
3. A model that is busy or not ready fails the chunk, for another try.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from hotplate.batch.report import MAX_REASON
from hotplate.errors import InferenceError, RequestError, StepUnavailableError
from hotplate.protocol.datatypes import from_name
from hotplate.protocol.types import InferenceRequest, RequestOutput, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from hotplate.batch.features import Feature
    from hotplate.protocol.types import MetadataTensor
    from hotplate.runtime.model import Model

    Array = np.ndarray[Any, Any]

__all__ = ["Asker", "Fault"]

# Rows in a row on which the model fails, none before, after which it is the model. Ours.
_HOPELESS = 16
# What a function says of the one row that it was asked.
_ONE_ROW = re.compile(r" of row 0\b|\[0\]")


class Fault(NamedTuple):
    """Which field of a row is at fault, and why; `again` where another try may end otherwise."""

    field: str
    reason: str
    again: bool = False


class Asker:
    """Asks one model for some outputs of rows."""

    def __init__(
        self,
        model: Model,
        features: Sequence[Feature],
        specs: Sequence[MetadataTensor],
        *,
        has_failed: bool = False,
    ) -> None:
        """Keep what is asked.

        Args:
            model: What is asked.
            features: The inputs.
            specs: The outputs that are wanted.
            has_failed: Whether the model failed on all of these rows before, so that it may again.
        """
        self._model, self._specs = model, specs
        self._datatypes = {feature.name: feature.datatype.name for feature in features}
        self._wanted = tuple(RequestOutput(spec.name, binary=True) for spec in specs)
        self._has_failed = has_failed
        self._answered = False
        self._failed = 0

    def ask(self, inputs: Mapping[str, Array]) -> Iterator[tuple[int, int, dict[str, Array] | Fault]]:
        """Yield, in order, from which to which row there is an answer; or, of one row, why there is none.

        Args:
            inputs: By name, [N, ...].

        Raises:
            InferenceError: The model fails on every row.
        """
        rows = len(next(iter(inputs.values())))
        self._answered, self._failed = self._has_failed, 0
        yield from self._ask(inputs, 0, rows)
        if not self._answered and self._failed == rows > 1:
            raise InferenceError(f"the model failed on each of {rows} rows")

    def _ask(
        self, inputs: Mapping[str, Array], low: int, high: int
    ) -> Iterator[tuple[int, int, dict[str, Array] | Fault]]:
        try:
            outputs = self._predict({name: array[low:high] for name, array in inputs.items()}, high - low)
        except (RequestError, InferenceError) as fault:
            if isinstance(fault, StepUnavailableError):
                raise
            if high - low == 1:
                yield low, high, self._fault(fault)
                return
        else:
            self._answered = True
            yield low, high, outputs
            return
        middle = (low + high) // 2
        yield from self._ask(inputs, low, middle)
        yield from self._ask(inputs, middle, high)

    def _predict(self, inputs: Mapping[str, Array], rows: int) -> dict[str, Array]:
        tensors = tuple(Tensor(name, self._datatypes[name], array) for name, array in inputs.items())
        response = self._model.predict(InferenceRequest(None, tensors, self._wanted))
        outputs = {output.name: output.array for output in response.outputs}
        for spec in self._specs:
            array, dtype = outputs[spec.name], from_name(spec.datatype).dtype
            shape = array.shape
            fits = len(shape) == len(spec.shape) and all(
                size in (-1, got) for size, got in zip(spec.shape[1:], shape[1:], strict=True)
            )
            if not fits or shape[0] != rows or array.dtype != dtype:
                declared = f"its manifest declares {spec.datatype} {list(spec.shape)}"
                received = f"{array.dtype} {list(shape)}"
                raise InferenceError(f"output {spec.name!r} of {rows} rows is {received}, {declared}")
        return outputs

    def _fault(self, fault: RequestError | InferenceError) -> Fault:
        """Return which field of a row is at fault, and why.

        Raises:
            InferenceError: It is the model that is.
        """
        if isinstance(fault, InferenceError):
            self._failed += 1
            if self._failed >= _HOPELESS and not self._answered:
                raise fault
            return Fault("", "the model failed on this row", again=True)
        # What came is the row's own, so it is not repeated.
        reason = f"expected {fault.expected}, got another"
        return Fault(_ONE_ROW.sub("", fault.what, count=1), reason[:MAX_REASON])
