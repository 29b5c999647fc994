"""What a version may be in size: names, shapes, the manifest. Asked before anything runs or is uploaded.

A tensor of more bytes than a function can have memory cannot be computed; a public tensor of more
elements than a request may claim cannot be sent. Both would be found out only where it is served.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx
import onnx.helper
import onnx.shape_inference

from hotplate.limits import MAX_MANIFEST_BYTES, MAX_MEMORY_MB, MAX_RANK, MAX_TENSOR_ELEMENTS, MIB
from hotplate.manifest.schema import encode
from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.types import MetadataTensor

__all__ = [
    "refuse_huge_shapes",
    "refuse_huge_signature",
    "refuse_long_manifest",
    "refuse_long_names",
    "with_shapes",
]

# Ours: a file system's bound on one name; more than any class has.
MAX_PATH = 255
MAX_LABEL = 512

# A constant that says a shape is a few numbers.
_SMALL_BYTES = 1024


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every shape that can be told from it. Weights in `model` are emptied.

    What is not told stays open, so this is a lower bound, never a proof.
    """
    for tensor in model.graph.initializer:
        # Inference copies the model; of weights it needs the shape only.
        if len(tensor.raw_data) > _SMALL_BYTES:
            tensor.ClearField("raw_data")
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        return model


def refuse_huge_shapes(model: onnx.ModelProto) -> None:
    """Refuse a tensor that no function can hold; open dimensions count as one.

    Args:
        model: As `with_shapes` returns it.

    Raises:
        RefusedError: Naming it.
    """
    for info in _infos(model.graph):
        tensor = info.type.tensor_type
        sizes = [axis.dim_value if axis.HasField("dim_value") else 1 for axis in tensor.shape.dim]
        needed = math.prod(max(size, 1) for size in sizes) * _itemsize(tensor.elem_type)
        if needed > MAX_MEMORY_MB * MIB:
            raise RefusedError(
                f"tensor {info.name[:80]!r} of shape {sizes} needs {needed:,} bytes; "
                f"a function has at most {MAX_MEMORY_MB} MB of memory"
            )


def refuse_huge_signature(inputs: Sequence[MetadataTensor], outputs: Sequence[MetadataTensor]) -> None:
    """Refuse an input or output that no request or answer can hold; open dimensions count as one.

    Raises:
        RefusedError: Naming it.
    """
    for kind, specs in (("input", inputs), ("output", outputs)):
        for spec in specs:
            count = math.prod(max(size, 1) for size in spec.shape)
            if len(spec.shape) > MAX_RANK:
                raise RefusedError(
                    f"{kind} {spec.name[:80]!r} has {len(spec.shape)} axes, at most {MAX_RANK} can be sent"
                )
            if count > MAX_TENSOR_ELEMENTS:
                raise RefusedError(
                    f"{kind} {spec.name[:80]!r} of shape {list(spec.shape)} has at least {count:,} elements; "
                    f"at most {MAX_TENSOR_ELEMENTS:,} can be sent"
                )


def refuse_long_names(paths: Iterable[str], labels_of: Mapping[str, Sequence[str]]) -> None:
    """Refuse a file's path or a label that is no name any more.

    Raises:
        RefusedError: Saying which, and how long it may be.
    """
    for path in paths:
        if len(path.encode()) > MAX_PATH:
            raise RefusedError(f"file name {path[:80]!r}… is longer than {MAX_PATH} bytes")
    for output, labels in labels_of.items():
        for label in labels:
            if len(label) > MAX_LABEL:
                raise RefusedError(
                    f"label {label[:80]!r}… of output {output!r} is longer than {MAX_LABEL} characters"
                )


def refuse_long_manifest(manifest: Manifest) -> None:
    """Refuse a manifest that functions would not read.

    Raises:
        RefusedError: Saying how long it may be.
    """
    size = len(encode(manifest))
    if size > MAX_MANIFEST_BYTES:
        raise RefusedError(
            f"the manifest is {size:,} bytes long, functions read at most {MAX_MANIFEST_BYTES:,}",
            advice="Shorten the labels, descriptions or the card's head.",
        )


def _infos(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    waiting = [graph]
    while waiting:
        inner = waiting.pop()
        yield from (*inner.input, *inner.output, *inner.value_info)
        waiting += [each for node in inner.node for at in node.attribute for each in (at.g, *at.graphs)]


def _itemsize(kind: int) -> int:
    try:
        return int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize) or 1
    except KeyError:
        return 1
