"""The protocol's nouns: what a model declares, what a request holds, what an answer holds.

`data` is never a Python list here: a tensor's elements are one NumPy array from the moment they
are decoded until they are encoded. BYTES tensors are object arrays of `bytes`.

All are structs: a request makes a dozen of them, and a frozen dataclass takes ten times as long to make.

Source: Open Inference Protocol v2, "Inference" and "Model Metadata".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

if TYPE_CHECKING:
    import numpy as np  # noqa: TC004 - nobody reads these annotations at run time

__all__ = [
    "DatatypeName",
    "InferenceRequest",
    "InferenceResponse",
    "MetadataTensor",
    "RequestOutput",
    "Tensor",
    "alternatives",
]

DatatypeName = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BYTES",
]  # fmt: skip
TensorName = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Dimension = Annotated[int, msgspec.Meta(ge=-1)]


class MetadataTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One input or output as a model declares it to callers.

    Attributes:
        name: Any text: real graphs have colons, slashes, plain numbers.
        datatype: The protocol's word, e.g. `FP32`.
        shape: Sizes per axis; -1 accepts any size >= 0; `[]` is a scalar.
        one_of: Inputs with the same word here are alternatives: a request sends exactly one of them.
            Those with the same `word/form` come together, as one of the alternatives of `word`.
        optional: Whether a request may leave this input out.
        description: What the tensor means, its axes and units, in words.
    """

    name: TensorName
    datatype: DatatypeName
    shape: tuple[Dimension, ...]
    one_of: str | None = None
    description: str = ""
    optional: bool = False


def alternatives(inputs: Iterable[MetadataTensor]) -> dict[str, dict[str, list[MetadataTensor]]]:
    """Return the inputs that have a `one_of`: by its word, then by alternative, those that come together."""
    groups: dict[str, dict[str, list[MetadataTensor]]] = {}
    for spec in inputs:
        if spec.one_of is not None:
            word, _, form = spec.one_of.partition("/")
            # An input's own name never clashes with a form, because the slash stays.
            key = spec.one_of if form else spec.name
            groups.setdefault(word, {}).setdefault(key, []).append(spec)
    return groups


class Tensor(msgspec.Struct, frozen=True, eq=False):
    """A named array with the protocol's datatype.

    Attributes:
        name: As declared.
        datatype: As declared; `array.dtype` is its NumPy dtype (object for BYTES).
        array: C-contiguous, little-endian; may be read-only or not aligned; may have zero
            elements or no axes.
        parameters: As sent, or to be sent.
    """

    name: str
    datatype: str
    array: np.ndarray[Any, Any]
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)


class RequestOutput(msgspec.Struct, frozen=True):
    """An output that the caller asked for; `binary` says whether as binary data."""

    name: str
    binary: bool


class InferenceRequest(msgspec.Struct, frozen=True):
    """A decoded request.

    Attributes:
        id: The caller's, to be echoed; None if it sent none.
        inputs: Validated against the declaration: datatype, rank, dimensions, element count.
        outputs: What to answer, in this order; all declared outputs if the caller named none.
        parameters: As sent.
    """

    id: str | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[RequestOutput, ...]
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)


class InferenceResponse(msgspec.Struct, frozen=True):
    """An answer to be encoded.

    Attributes:
        model_name, model_version: What answered.
        id: The request's, or None.
        outputs: In the order to be sent.
        binary: Names of the outputs to be sent as binary data.
    """

    model_name: str
    model_version: str
    id: str | None
    outputs: tuple[Tensor, ...]
    binary: frozenset[str] = frozenset()
