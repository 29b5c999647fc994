"""Does what `model.yaml` promises callers agree with the graph and with itself?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.protocol.types import MetadataTensor
    from hotplate_tools.publish.graph import Graph
    from hotplate_tools.publish.model_yaml import ModelSpec

__all__ = ["refuse_contradiction", "refuse_disagreement"]


def refuse_disagreement(spec: ModelSpec, graph: Graph, *, has_transforms: bool) -> None:
    """Check the public signature against the graph's.

    A tensor that keeps the graph's name keeps its datatype and shape too; it may fix a dimension
    that the graph leaves open, never the other way. Without a function that converts between the
    two, every tensor must be the graph's.

    Raises:
        RefusedError: Naming the tensor.
    """
    inputs = [tensor.declared() for tensor in spec.inputs]
    outputs = [tensor.declared() for tensor in spec.outputs]
    _refuse_change("input", inputs, graph.inputs)
    _refuse_change("output", outputs, graph.outputs)
    if not has_transforms:
        _refuse_unknown(spec.name, "input", inputs, graph.inputs)
        _refuse_unknown(spec.name, "output", outputs, graph.outputs)
        for tensor in graph.inputs:
            if tensor.name not in {declared.name for declared in inputs}:
                raise RefusedError(f"the graph needs input {tensor.name!r}, model.yaml declares none")
        for tensor in inputs:
            if tensor.optional:
                raise RefusedError(f"input {tensor.name!r} is optional, but the graph needs it")
    refuse_contradiction(spec)


def refuse_contradiction(spec: ModelSpec) -> None:
    """Check the public signature against itself.

    Raises:
        RefusedError: Naming the tensor.
    """
    outputs = [tensor.declared() for tensor in spec.outputs]
    for tensor in outputs:
        if tensor.one_of or tensor.optional:
            raise RefusedError(f"output {tensor.name!r}: one_of and optional are for inputs")
    _refuse_labels(spec, outputs)


def _refuse_change(kind: str, public: Sequence[MetadataTensor], own: Sequence[MetadataTensor]) -> None:
    graph = {tensor.name: tensor for tensor in own}
    for tensor in public:
        origin = graph.get(tensor.name)
        if origin is None:
            continue
        fits = len(tensor.shape) == len(origin.shape) and all(
            theirs in (-1, ours) for theirs, ours in zip(origin.shape, tensor.shape, strict=True)
        )
        if tensor.datatype != origin.datatype or not fits:
            raise RefusedError(
                f"{kind} {tensor.name!r} is {tensor.datatype} {list(tensor.shape)} in model.yaml, "
                f"{origin.datatype} {list(origin.shape)} in the graph"
            )


def _refuse_unknown(
    model: str, kind: str, public: Sequence[MetadataTensor], own: Sequence[MetadataTensor]
) -> None:
    for tensor in public:
        if tensor.name not in {origin.name for origin in own}:
            raise RefusedError(
                f"{kind} {tensor.name!r} is not the graph's, and no functions/{model}/model.py makes it",
                advice=f"The graph has: {', '.join(repr(origin.name) for origin in own)}.",
            )


def _refuse_labels(spec: ModelSpec, outputs: Sequence[MetadataTensor]) -> None:
    shapes = {tensor.name: tensor.shape for tensor in outputs}
    for name, labels in spec.labels.items():
        if name not in shapes:
            raise RefusedError(f"labels of {name!r}: no such output")
        classes = shapes[name][-1] if shapes[name] else -1
        if classes not in (-1, len(labels)):
            raise RefusedError(f"output {name!r} has {classes} classes, but {len(labels)} labels")
