"""An ONNX file, looked at before anything runs it.

Rules kept here:

1. The length is capped before the file is parsed.
2. Refused: operator sets that are not known, operators that ONNX Runtime does not bring along,
   tensors kept outside of the model's folder, whose bytes are not what their shape needs, or which no
   function can hold, and inputs or outputs that the Open Inference Protocol cannot carry.
3. Whether ONNX Runtime can load it is then asked of ONNX Runtime itself, by the same `Session` that
   serves.

Source: ONNX, "Open Neural Network Exchange Intermediate Representation Specification" and
"External Data".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec
import onnx
import onnx.defs
import onnx.external_data_helper
import onnx.shape_inference
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from hotplate.errors import GraphError
from hotplate.protocol.datatypes import from_ort, shape_of
from hotplate.protocol.types import MetadataTensor
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.bounds import refuse_huge_shapes, with_shapes
from hotplate_tools.publish.source import inside
from hotplate_tools.publish.tensors import declared_bytes, refuse_wrong_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["MAX_GRAPH_BYTES", "Graph", "inspect_graph"]

# Protocol Buffers' limit on one message, in bytes; larger models keep their weights outside.
MAX_GRAPH_BYTES = 2 * 1024**3 - 1

# ONNX Runtime's documentation, "Compatibility", promises operator sets from 7 on.
_ONNX = (7, onnx.defs.onnx_opset_version())
_OPSETS = {
    "": _ONNX,
    "ai.onnx": _ONNX,
    "ai.onnx.ml": (1, onnx.defs.onnx_ml_opset_version()),
    "com.microsoft": (1, 1),
}


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph that may be published.

    Attributes:
        body: The ONNX file.
        weights: Files of external data by the location that the graph names.
        inputs, outputs: Its own signature, -1 for open dimensions.
    """

    body: bytes
    weights: Mapping[str, Path]
    inputs: tuple[MetadataTensor, ...]
    outputs: tuple[MetadataTensor, ...]


def inspect_graph(file: Path) -> Graph:
    """Return the graph in `file`; external data is looked for in the file's folder.

    Raises:
        RefusedError: As the module says; the message names the operator, tensor or file.
    """
    if file.stat().st_size > MAX_GRAPH_BYTES:
        raise RefusedError(
            f"{file.name} is longer than {MAX_GRAPH_BYTES} bytes",
            advice="Save it with external data (onnx.save_model(..., save_as_external_data=True)).",
        )
    body = file.read_bytes()
    model = _parse(body, file)
    _refuse_operator_sets(model)
    _refuse_custom_operators(model)
    weights = _external_files(model, file.parent)
    model = _with_output_shapes(model)
    initialized = {tensor.name for tensor in model.graph.initializer}
    inputs = _signature("input", [node for node in model.graph.input if node.name not in initialized])
    outputs = _signature("output", model.graph.output)
    _check(file if weights else model, file.name)
    refuse_huge_shapes(with_shapes(model))
    return Graph(body, weights, inputs, outputs)


def _parse(body: bytes, file: Path) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(body)
    except DecodeError as fault:
        raise RefusedError(f"{file.name} is no ONNX file: {fault}") from fault
    if not model.graph.output:
        raise RefusedError(f"{file.name} is no ONNX file: it holds no graph with an output")
    return model


def _check(model: onnx.ModelProto | Path, name: str) -> None:
    try:
        # The checker finds external files only beside a path; everything else it takes as parsed.
        onnx.checker.check_model(str(model) if isinstance(model, Path) else model)
    except onnx.checker.ValidationError as fault:
        raise RefusedError(f"{name} is not valid ONNX: {fault}") from fault


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node, those inside of branches, loops and functions included."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)


def _refuse_operator_sets(model: onnx.ModelProto) -> None:
    """Refuse a version of a known domain that is none; an unknown domain matters if a node is of it."""
    versions: dict[str, int] = {}
    for opset in model.opset_import:
        domain = opset.domain or "ai.onnx"
        # The same one twice is what skl2onnx writes.
        if versions.setdefault(domain, opset.version) != opset.version:
            raise RefusedError(f"the model imports two versions of the operator set {domain!r}")
        least, most = _OPSETS.get(opset.domain, (None, None))
        if least and not least <= opset.version <= most:
            raise RefusedError(
                f"operator set {opset.version} of {domain}; known are {least} to {most}",
                advice="Export the model again for one of those.",
            )


def _refuse_custom_operators(model: onnx.ModelProto) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        known = node.domain in _OPSETS or node.domain.startswith("com.microsoft.")
        if not known and (node.domain, node.op_type) not in own:
            raise RefusedError(
                f"operator {node.op_type!r} is of domain {node.domain!r}, which ONNX Runtime does not have",
                advice="Export the model without custom operators.",
            )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor stored in the model, at any depth."""
    nodes = list(_nodes(model))
    graphs = [graph for node in nodes for at in node.attribute for graph in (at.g, *at.graphs)]
    for graph in (model.graph, *graphs):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _external_files(model: onnx.ModelProto, folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for tensor in _tensors(model):
        if not onnx.external_data_helper.uses_external_data(tensor):
            refuse_wrong_size(tensor)
            continue
        try:
            info = onnx.external_data_helper.ExternalDataInfo(tensor)
        except ValueError as fault:
            raise RefusedError(f"tensor {tensor.name!r}: its place outside of the graph: {fault}") from fault
        files[info.location] = file = _external_file(info.location, folder)
        length = declared_bytes(tensor)
        if info.length not in (None, length):
            raise RefusedError(
                f"tensor {tensor.name!r} of shape {list(tensor.dims)} needs {length} bytes, "
                f"its place outside of the graph has {info.length}"
            )
        end = (info.offset or 0) + length
        if end > file.stat().st_size:
            raise RefusedError(
                f"tensor {tensor.name!r} ends at byte {end}, after the end of {info.location!r}"
            )
    return dict(sorted(files.items()))


def _external_file(location: str, folder: Path) -> Path:
    # The location becomes a name in the manifest and a key at the session, so it must be plain,
    # not only harmless: `a/../b` and `./b` name the same file by two names.
    if not location or location != str(PurePosixPath(location)) or ".." in PurePosixPath(location).parts:
        raise RefusedError(f"external data {location!r} is no plain relative file name")
    return inside(folder, location, "external data")


def _with_output_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with shapes for the outputs that its exporter left without."""
    if all(node.type.tensor_type.HasField("shape") for node in model.graph.output):
        return model
    return onnx.shape_inference.infer_shapes(model)


def _signature(kind: str, nodes: Sequence[onnx.ValueInfoProto]) -> tuple[MetadataTensor, ...]:
    return tuple(_tensor(kind, node) for node in nodes)


def _tensor(kind: str, node: onnx.ValueInfoProto) -> MetadataTensor:
    which = node.type.WhichOneof("value")
    if which != "tensor_type":
        raise RefusedError(
            f"{kind} {node.name!r} is a {(which or 'nothing').removesuffix('_type')}, not a tensor",
            advice="Export a scikit-learn classifier with options={'zipmap': False}; else return a tensor.",
        )
    tensor = node.type.tensor_type
    if not tensor.HasField("shape"):
        raise RefusedError(
            f"{kind} {node.name!r} has no stated number of dimensions",
            advice="Export the model with shapes; open dimensions may have a name instead of a size.",
        )
    word = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    sizes = [axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim]
    try:
        datatype = from_ort(f"tensor({word})").name
        return msgspec.convert(
            {"name": node.name, "datatype": datatype, "shape": shape_of(sizes)}, MetadataTensor
        )
    except (GraphError, msgspec.ValidationError) as fault:
        raise RefusedError(f"{kind} {node.name!r}: {fault}") from fault
