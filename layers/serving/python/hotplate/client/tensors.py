"""What callers have to what the protocol sends, by a model's signature, and back.

Rules kept here:

1. A mapping names inputs. Anything else is the model's only input that can be meant: bytes, text, a file's
   path or a picture is the BYTES input, everything else the first that is not.
2. One row without its axis gets it, where the signature leaves the first axis open.
3. Numbers change their datatype only where NumPy calls that `same_kind`: 64 to 32 bits of the same kind,
   whole numbers to floats; never floats to whole numbers.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import (
    DatatypeMismatchError,
    MalformedRequestError,
    ShapeMismatchError,
    UnknownInputError,
)
from hotplate.protocol.datatypes import from_name
from hotplate.protocol.types import Tensor

if TYPE_CHECKING:
    type Array = np.ndarray[Any, Any]

__all__ = ["InputSpec", "Prediction", "Signature", "tensors_of"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input as the model declares it; -1 is an open dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes.

    Attributes:
        name, version: Of the model.
        inputs: In its order.
        outputs: Their names.
        labels: Names of classes by output.
    """

    name: str
    version: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    labels: Mapping[str, Sequence[str]]

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Signature:
        """Return the signature in an answer to `GET /v2/models/{model}`.

        Raises:
            MalformedRequestError: It is no such answer.
        """
        try:
            inputs = [InputSpec(e["name"], e["datatype"], tuple(e["shape"])) for e in metadata["inputs"]]
            outputs = tuple(each["name"] for each in metadata["outputs"])
            version = (metadata.get("versions") or [""])[0]
            labels = (metadata.get("parameters") or {}).get("labels", {})
            return cls(metadata["name"], version, tuple(inputs), outputs, labels)
        except (KeyError, TypeError, AttributeError) as fault:
            raise MalformedRequestError(
                "the metadata of the model", expected="the protocol's", received=repr(fault)[:200]
            ) from fault


@dataclass(frozen=True, slots=True)
class Prediction(Mapping[str, "Array"]):
    """An answer: arrays by output name. Text is objects of `bytes`.

    Attributes:
        outputs: The same as a mapping.
        model, version: What answered.
        request_id: To be found in the function's log.
    """

    outputs: Mapping[str, Array]
    model: str
    version: str
    request_id: str

    def __getitem__(self, name: str) -> Array:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)


def tensors_of(data: object, signature: Signature) -> list[Tensor]:
    """Return what is to be sent.

    Args:
        data: An array, numbers, text, bytes, a path, a picture with `save` as Pillow's, or a mapping of such
            by input name.
        signature: Of the model.

    Raises:
        UnknownInputError: No input of that name, or none that can be meant.
        ShapeMismatchError: Another rank or size.
        DatatypeMismatchError: Values that the input's datatype cannot be.
        OSError: A path cannot be read.
    """
    specs = {spec.name: spec for spec in signature.inputs}
    named = data if isinstance(data, Mapping) else {_meant(data, signature).name: data}
    for name in named:
        if name not in specs:
            raise UnknownInputError("input", expected=f"one of {', '.join(specs)}", received=repr(name)[:80])
    return [_tensor(specs[name], value) for name, value in named.items()]


def _meant(data: object, signature: Signature) -> InputSpec:
    wants_bytes = _is_bytes(data)
    fitting = [spec for spec in signature.inputs if (spec.datatype == "BYTES") is wants_bytes]
    if not fitting or (wants_bytes and len(fitting) > 1):
        kind = "bytes or text" if wants_bytes else "numbers"
        expected = f"a mapping with inputs of {', '.join(spec.name for spec in signature.inputs)}"
        raise UnknownInputError("input", expected=expected, received=f"{kind} without a name")
    return fitting[0]


def _is_bytes(data: object) -> bool:
    if isinstance(data, list | tuple) and data:
        return _is_bytes(data[0])
    return (
        isinstance(data, str | bytes | bytearray | Path)
        or _is_picture(data)
        or (isinstance(data, np.ndarray) and data.dtype.kind in "OSU")
    )


def _is_picture(data: object) -> bool:
    return hasattr(data, "save") and hasattr(data, "getbands")  # Pillow's, which need not be installed


def _tensor(spec: InputSpec, value: Any) -> Tensor:
    array = _texts(value) if spec.datatype == "BYTES" else _numbers(spec, value)
    if array.ndim == len(spec.shape) - 1 and spec.shape[0] == -1:
        array = array[np.newaxis]
    fits = len(array.shape) == len(spec.shape) and all(
        wanted in (-1, size) for wanted, size in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        raise ShapeMismatchError(
            f"input {spec.name!r}", expected=str(list(spec.shape)), received=str(list(array.shape))
        )
    return Tensor(spec.name, spec.datatype, np.ascontiguousarray(array).reshape(array.shape))


def _numbers(spec: InputSpec, value: Any) -> Array:
    wanted = from_name(spec.datatype).dtype
    try:
        array = np.asarray(value)
        if array.size == 0 and not isinstance(value, np.ndarray):
            return array.astype(wanted)  # an empty list has no kind of its own
        return array.astype(wanted, casting="same_kind", copy=False)
    except (TypeError, ValueError) as fault:
        raise DatatypeMismatchError(
            f"input {spec.name!r}", expected=spec.datatype, received=str(fault)[:120]
        ) from fault


def _texts(value: Any) -> Array:
    """Return an object array of bytes; a list's nesting is the shape."""
    if isinstance(value, np.ndarray):
        flat = [_bytes_of(element) for element in value.ravel()]
        return _objects(flat, value.shape)
    if not isinstance(value, list | tuple):
        return _objects([_bytes_of(value)], ())
    rows = [_texts(each) for each in value]
    if len({row.shape for row in rows}) > 1:
        raise ShapeMismatchError("input", expected="rows of one length", received="several")
    flat = [element for row in rows for element in row.ravel()]
    return _objects(flat, (len(rows), *(rows[0].shape if rows else ())))


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Path):
        return value.read_bytes()
    if _is_picture(value):
        target = io.BytesIO()
        value.save(target, "PNG")
        return target.getvalue()
    raise DatatypeMismatchError(
        "input", expected="text, bytes, a path or a picture", received=type(value).__name__
    )


def _objects(elements: list[bytes], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)
