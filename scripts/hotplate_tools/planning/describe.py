"""A model's description for the rules: from a registry, or from files as they would be published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from hotplate.errors import GraphError, StoreNotFoundError
from hotplate.limits import MAX_MANIFEST_BYTES
from hotplate.manifest.layout import measurements_key
from hotplate.protocol.datatypes import from_name
from hotplate.protocol.types import alternatives
from hotplate_tools.failures import RefusedError
from hotplate_tools.planning.records import Description, Measurements, decode_measurements
from hotplate_tools.publish.find import find_version, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.types import MetadataTensor
    from hotplate.store.base import Store

__all__ = [
    "SERVING_CODE_BYTES",
    "description_of",
    "operator_types",
    "published_description",
    "read_measurements",
]

# The most that the serving layers may be unzipped, in bytes; a function with packages of its own says
# how large it is (`hotplate build` prints it). Ours.
SERVING_CODE_BYTES = 150_000_000


def description_of(
    manifest: Manifest,
    graph: bytes,
    *,
    code_bytes: int,
    version: str | None = None,
    measurements: Measurements | None = None,
) -> Description:
    """Return the description of a version.

    Args:
        manifest: What it is.
        graph: Bytes of its file of role `graph`.
        code_bytes: Unzipped function and layers.
        version: Its name in a registry, or None.
        measurements: What was measured of it.

    Raises:
        GraphError: `graph` is no ONNX file.
    """

    def size(role: str) -> int:
        return sum(entry.size for entry in manifest.files if entry.role == role)

    return Description(
        name=manifest.name,
        version=version,
        graph_bytes=size("graph"),
        weights_bytes=size("weights"),
        asset_bytes=size("asset"),
        operators=operator_types(graph),
        request_bytes=_row_bytes(manifest.inputs),
        response_bytes=_row_bytes(manifest.outputs),
        has_batch=all(spec.shape[:1] == (-1,) for spec in manifest.inputs),
        code_bytes=code_bytes,
        plan=manifest.plan,
        measurements=measurements,
        variant=manifest.variant,
    )


def published_description(store: Store, name: str, alias: str, *, code_bytes: int) -> Description:
    """Return the description of the version that an alias points at, with what was measured of it.

    Raises:
        RefusedError: There is no such alias or version.
        DigestMismatchError: A manifest or graph is not the one that was published.
        StoreError: The registry cannot be read.
    """
    found = find_version(store, name, alias=alias)
    if not found.manifest.has_graph:
        raise RefusedError(f"{name} is a {found.manifest.platform} model, and only graphs can be planned")
    return description_of(
        found.manifest,
        read_file(store, found.manifest.file("graph")),
        code_bytes=code_bytes,
        version=found.version,
        measurements=read_measurements(store, name, found.version),
    )


def read_measurements(store: Store, name: str, version: str) -> Measurements | None:
    """Return what was measured of a version, or None if nothing was."""
    try:
        return decode_measurements(
            store.get(measurements_key(name, version), max_bytes=MAX_MANIFEST_BYTES).body
        )
    except StoreNotFoundError:
        return None


def operator_types(graph: bytes) -> frozenset[str]:
    """Return the types of all operators of an ONNX file, those inside branches and functions too.

    Raises:
        GraphError: It is no ONNX file.
    """
    try:
        model = onnx.load_model_from_string(graph)
    except DecodeError as fault:
        raise GraphError(f"no ONNX file: {fault}") from fault
    functions = (node for function in model.functions for node in _walk(function.node))
    return frozenset(node.op_type for node in (*_walk(model.graph.node), *functions))


def _walk(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _walk(graph.node)


def _row_bytes(specs: Sequence[MetadataTensor]) -> int | None:
    """Return the bytes of one row in binary form; of alternatives the largest, None if it varies."""
    sizes: dict[str, int] = {}
    for spec in specs:
        row = spec.shape[1:] if spec.shape[:1] == (-1,) else spec.shape
        if spec.datatype == "BYTES":
            if spec.one_of:
                continue
            return None
        if -1 in row:
            return None
        size = from_name(spec.datatype).dtype.itemsize
        for axis in row:
            size *= axis
        sizes[spec.name] = size
    alone = sum(sizes[spec.name] for spec in specs if not spec.one_of)
    forms = [
        [sum(sizes.get(spec.name, 0) for spec in form) for form in group.values()]
        for group in alternatives(specs).values()
    ]
    return alone + sum(map(max, forms))
