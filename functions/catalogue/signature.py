"""A model's signature as JSON Schema: what its requests hold, what answers hold, and one request that fits.

Source: Open Inference Protocol v2, "Inference"; KServe, "V1 Inference Protocol".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hotplate.protocol.types import alternatives

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.types import MetadataTensor

    type Json = dict[str, Any]

__all__ = ["example", "infer_request", "infer_response", "predict_request"]

# Elements of the largest example. Ours: a page can still show it.
MAX_EXAMPLE_ELEMENTS = 1024


def infer_request(manifest: Manifest) -> Json:
    """Return the schema of a request's JSON part."""
    flag = {"type": "boolean"}
    outputs = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"enum": [spec.name for spec in manifest.outputs]},
            "parameters": {"type": "object", "properties": {"binary_data": flag}},
        },
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            # Null counts as absent.
            "id": {"type": ["string", "null"]},
            "parameters": {"type": ["object", "null"], "properties": {"binary_data_output": flag}},
            "inputs": {
                "type": "array",
                "description": together(manifest.inputs),
                "minItems": 0 if all(spec.optional for spec in manifest.inputs) else 1,
                "maxItems": len(manifest.inputs),
                "items": _one_of([_tensor(spec, is_request=True) for spec in manifest.inputs]),
            },
            "outputs": {"type": ["array", "null"], "maxItems": len(manifest.outputs), "items": outputs},
        },
    }


def infer_response(manifest: Manifest, version: str) -> Json:
    """Return the schema of an answer in JSON."""
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"const": manifest.name},
            "model_version": {"const": version},
            "id": {"type": "string"},
            "outputs": {
                "type": "array",
                "items": _one_of([_tensor(spec, is_request=False) for spec in manifest.outputs]),
            },
        },
        "additionalProperties": False,
    }


def predict_request(manifest: Manifest) -> Json:
    """Return the schema of a request of KServe's v1."""
    rows = {spec.name: _nested(spec, spec.shape[1:]) for spec in manifest.inputs}
    named = {
        "type": "object",
        "properties": {name: {"anyOf": [row, _UPLOADED]} for name, row in rows.items()},
        "minProperties": 1,
        "additionalProperties": False,
    }
    first = rows[manifest.inputs[0].name]
    items = {"anyOf": [first, named, _B64, _UPLOADED]}
    return {
        "type": "object",
        "required": ["instances"],
        "properties": {"instances": {"type": "array", "minItems": 1, "items": items}},
    }


def example(manifest: Manifest) -> Json | None:
    """Return a request that fits, of zeros and a text; None where it would be too large, or no JSON."""
    groups = alternatives(manifest.inputs)
    chosen = [spec for spec in manifest.inputs if spec.one_of is None and not spec.optional]
    for group in groups.values():
        chosen += next(iter(group.values()))
    inputs = []
    for spec in chosen:
        shape = [1 if size == -1 else size for size in spec.shape]
        count = math.prod(shape)
        if count > MAX_EXAMPLE_ELEMENTS or spec.datatype == "FP16":
            return None
        element = {"BYTES": "text", "BOOL": False}.get(spec.datatype, 0)
        inputs.append(
            {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": [element] * count}
        )
    return {"inputs": inputs}


def together(inputs: Iterable[MetadataTensor]) -> str:
    """Return in words which inputs a request has."""
    specs = list(inputs)
    parts = [
        f"{spec.name}{' (may be left out)' if spec.optional else ''}" for spec in specs if not spec.one_of
    ]
    for group in alternatives(specs).values():
        forms = [" with ".join(spec.name for spec in form) for form in group.values()]
        parts.append(f"exactly one of {', '.join(forms)}")
    return "; ".join(parts)


_B64: Json = {
    "type": "object",
    "required": ["b64"],
    "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
    "additionalProperties": False,
}
_UPLOADED: Json = {
    "type": "object",
    "description": "A row that was uploaded, of the only instance",
    "required": ["input_uri"],
    "properties": {"input_uri": {"type": "string", "pattern": "^s3://"}},
    "additionalProperties": False,
}
_ELEMENTS: dict[str, Json] = {
    "BOOL": {"type": "boolean"},
    "BYTES": {"type": "string"},
    "FP16": {"type": "number"},
    "FP32": {"type": "number", "minimum": -3.4028234663852886e38, "maximum": 3.4028234663852886e38},
    "FP64": {"type": "number"},
    **{
        f"{'U' * unsigned}INT{bits}": {
            "type": "integer",
            "minimum": 0 if unsigned else -(2 ** (bits - 1)),
            "maximum": 2 ** (bits if unsigned else bits - 1) - 1,
        }
        for bits in (8, 16, 32, 64)
        for unsigned in (False, True)
    },
}


_SIZE: Json = {"binary_data_size": {"type": "integer", "minimum": 0}}
_URI: Json = {
    "input_uri": {"type": "string", "description": "Of POST /uploads; instead of data", "pattern": "^s3://"}
}
_BY_REFERENCE: Json = {
    "required": ["parameters"],
    "properties": {"parameters": {"required": ["input_uri"]}},
}
_ELEMENTS_SENT: Json = {"anyOf": [{"required": ["data"]}, _BY_REFERENCE]}


def _tensor(spec: MetadataTensor, *, is_request: bool) -> Json:
    """Return the schema of an entry of `inputs` or `outputs`."""
    # `prefixItems` would say each size, and neither generators of clients nor fuzzers read it; the words do.
    shape: Json = {
        "type": "array",
        "description": f"{list(spec.shape)}; -1 is any size",
        "minItems": len(spec.shape),
        "maxItems": len(spec.shape),
        "items": {"type": "integer", "minimum": 0},
    }
    properties: Json = {
        "name": {"const": spec.name},
        "datatype": {"const": spec.datatype},
        "shape": shape,
        "parameters": {"type": "object", "properties": _SIZE | (_URI if is_request else {})},
        "data": _data(spec, is_request=is_request),
    }
    described = {"description": spec.description} if spec.description else {}
    elements = _ELEMENTS_SENT if is_request and not _is_binary_only(spec) else {}
    required = ["name", "datatype", "shape"]
    return {"type": "object", "required": required, "properties": properties, **elements, **described}


def _is_binary_only(spec: MetadataTensor) -> bool:
    return spec.datatype == "FP16"


def _data(spec: MetadataTensor, *, is_request: bool) -> Json:
    """Return the schema of a tensor's elements; those of a request may be nested as its shape is."""
    flat = {"type": "array", "items": _ELEMENTS[spec.datatype]}
    if not is_request or len(spec.shape) == 1:
        return flat
    return {"anyOf": [flat, _nested(spec, spec.shape)]}


def _nested(spec: MetadataTensor, shape: tuple[int, ...]) -> Json:
    if not shape:
        element = _ELEMENTS[spec.datatype]
        return {"anyOf": [element, _B64]} if spec.datatype == "BYTES" else element
    bounds = {} if shape[0] == -1 else {"minItems": shape[0], "maxItems": shape[0]}
    return {"type": "array", "items": _nested(spec, shape[1:]), **bounds}


def _one_of(schemas: list[Json]) -> Json:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
