"""KServe's v1 protocol over a model's signature: `instances` to tensors, tensors to `predictions`.

Rules kept here:

1. An instance is one row. Where it is no object it is a row of the input that is declared first; an object
   has a row by input name. `{"b64": "…"}` is bytes; alone, it is a row of the model's only BYTES input.
2. What comes is turned into a request of the Open Inference Protocol and decoded as one, so that shapes,
   datatypes and values are judged in one place.
3. `predictions` has one entry an instance if every output has one row an instance: the row, or by name
   where there are several outputs. Else it is one object of whole outputs by name.
4. `{"input_uri": "…"}` is a row that was uploaded, of one instance: the elements of numbers, or the one
   element of a BYTES input. Alone, it is a row of the model's only BYTES input.
5. Bytes that are not UTF-8 are answered as `{"b64": "…"}`. NaN and infinity are refused: JSON has neither.

Source: KServe, "V1 Inference Protocol"; TensorFlow Serving, "RESTful API" (`b64`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pybase64

from hotplate.errors import MalformedRequestError, MissingInputError, ShapeMismatchError, ValueRangeError
from hotplate.http.event import HttpResponse
from hotplate.protocol.json_document import Json, excerpt, fields, is_array, mapping, parse
from hotplate.protocol.request import decode_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.http.aliases import Predict
    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.references import Fetch
    from hotplate.protocol.types import InferenceRequest, InferenceResponse, MetadataTensor, Tensor

__all__ = ["answer_predict", "read_instances"]

_B64, _URI = {"b64"}, {"input_uri"}


def answer_predict(
    body: bytes, manifest: Manifest, predict: Predict, fetch: Fetch | None = None
) -> HttpResponse:
    """Return the answer to `{"instances": [...]}`.

    Raises:
        RequestError: Not such a body, or one that does not fit the signature.
        InferenceError: The model failed.
    """
    document = _document(body)
    decoded = _decoded(document, manifest, fetch)
    predictions = _predictions(predict(decoded), len(_instances(document)))
    return HttpResponse(200, orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY))


def read_instances(body: bytes, manifest: Manifest, fetch: Fetch | None = None) -> InferenceRequest:
    """Return the request that `{"instances": [...], "parameters": {...}}` is.

    Raises:
        RequestError: Not such a body, or one that does not fit the signature.
    """
    document = _document(body)
    return _decoded(document, manifest, fetch, mapping(document.get("parameters", {}), what="parameters"))


def _document(body: bytes) -> dict[str, Any]:
    return fields(parse(body), ("instances", "parameters"), what="the request")


def _decoded(
    document: dict[str, Any],
    manifest: Manifest,
    fetch: Fetch | None,
    parameters: dict[str, Any] | None = None,
) -> InferenceRequest:
    columns = _columns(_instances(document), manifest.inputs)
    request: dict[str, Any] = {"inputs": [_tensor(column, spec) for spec, column in columns]}
    raw = _dumped(request | ({"parameters": parameters} if parameters else {}))
    return decode_request(
        raw, header_length=None, inputs=manifest.inputs, outputs=manifest.outputs, fetch=fetch
    )


def _dumped(request: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(request)
    except orjson.JSONEncodeError as fault:
        expected = "numbers of at most 64 bits, and no more levels of arrays than a tensor has axes"
        raise MalformedRequestError("instances", expected=expected, received=str(fault)) from fault


def _instances(document: dict[str, Any]) -> list[Any]:
    node: Json = document.get("instances")
    if not is_array(node):
        raise MalformedRequestError("instances", expected="an array, one entry a row", received=excerpt(node))
    rows = node if isinstance(node, list) else node.as_list()
    if not rows:
        raise MalformedRequestError("instances", expected="one row or more", received="none")
    return list(rows)


def _columns(
    instances: Sequence[Any], inputs: Sequence[MetadataTensor]
) -> list[tuple[MetadataTensor, list[Any]]]:
    """Return the rows of each input that came.

    Raises:
        RequestError: Rows of several kinds, an input that only some have, or one that is not declared.
    """
    named = [_named(row, inputs) for row in instances]
    names = set(named[0])
    for index, row in enumerate(named):
        if set(row) != names:
            raise MalformedRequestError(
                f"instances[{index}]",
                expected=f"the inputs of the first: {_words(names)}",
                received=_words(row),
            )
    known = {spec.name: spec for spec in inputs}
    if unknown := [name for name in named[0] if name not in known]:
        raise MissingInputError("instances", expected=_words(known), received=_words(unknown))
    return [(known[name], [row[name] for row in named]) for name in named[0]]


def _named(row: Any, inputs: Sequence[MetadataTensor]) -> dict[str, Any]:
    if not isinstance(row, dict):
        return {inputs[0].name: row}
    if set(row) not in (_B64, _URI):
        return row
    of_bytes = [spec.name for spec in inputs if spec.datatype == "BYTES"]
    if len(of_bytes) != 1:
        raise MissingInputError(
            "instances",
            expected=f"the name of an input around {next(iter(row))}",
            received="several it could be, or none",
        )
    return {of_bytes[0]: row}


def _tensor(rows: list[Any], spec: MetadataTensor) -> dict[str, Any]:
    """Return the entry of a request of the Open Inference Protocol."""
    if any(isinstance(row, dict) and set(row) == _URI for row in rows):
        return _referring(rows, spec)
    shape, data = [len(rows)], rows
    if not spec.shape:
        if len(rows) != 1:
            raise ShapeMismatchError(
                f"input {excerpt(spec.name)}", expected="one instance: it is no row", received=str(len(rows))
            )
        shape, data = [], rows[0]
    level: Any = rows[0] if spec.shape else None
    for _ in spec.shape[1:]:
        if not isinstance(level, list):
            expected = f"rows of {len(spec.shape) - 1} axes: {list(spec.shape[1:])}"
            raise ShapeMismatchError(
                f"input {excerpt(spec.name)}", expected=expected, received=excerpt(level)
            )
        shape.append(len(level))
        level = level[0] if level else None
    entry: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": data}
    axes = len(spec.shape)
    if spec.datatype != "BYTES" or not _holds_b64(data, axes):
        return entry
    return entry | {"data": _as_b64(data, spec, axes), "parameters": {"content_type": "base64"}}


def _referring(rows: list[Any], spec: MetadataTensor) -> dict[str, Any]:
    """Return the entry of an input whose one row was uploaded.

    Raises:
        ShapeMismatchError: There are more rows, or a row's length is open, so that nobody knows it.
    """
    what = f"input {excerpt(spec.name)}"
    if len(rows) != 1:
        expected = "one instance where a row is an input_uri; under /v2 one reference holds many rows"
        raise ShapeMismatchError(what, expected=expected, received=str(len(rows)))
    shape = [1, *spec.shape[1:]] if spec.shape else []
    if -1 in shape:
        expected = (
            f"a row in the body, as its shape {list(spec.shape[1:])} is open; under /v2 requests say it"
        )
        raise ShapeMismatchError(what, expected=expected, received="an input_uri")
    return {"name": spec.name, "datatype": spec.datatype, "shape": shape, "parameters": rows[0]}


def _holds_b64(node: Any, axes: int) -> bool:
    """Return whether there is an object among the elements, which lie `axes` arrays deep."""
    if axes and isinstance(node, list):
        return any(_holds_b64(each, axes - 1) for each in node)
    return isinstance(node, dict)


def _as_b64(node: Any, spec: MetadataTensor, axes: int) -> Any:
    if axes and isinstance(node, list):
        return [_as_b64(each, spec, axes - 1) for each in node]
    if isinstance(node, str):
        return pybase64.b64encode(node.encode()).decode()
    if isinstance(node, dict) and set(node) == _B64 and isinstance(node["b64"], str):
        return node["b64"]
    expected = 'text, or {"b64": "…"} with text in it'
    raise MalformedRequestError(f"input {excerpt(spec.name)}", expected=expected, received=excerpt(node))


def _predictions(answer: InferenceResponse, count: int) -> Any:
    shapes = [tensor.array.shape for tensor in answer.outputs]
    values = {tensor.name: _jsonable(tensor) for tensor in answer.outputs}
    if not all(shape and shape[0] == count for shape in shapes):
        return values
    if len(values) == 1:
        return next(iter(values.values()))
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _jsonable(tensor: Tensor) -> Any:
    array = tensor.array
    if tensor.datatype == "BYTES":
        return np.vectorize(_text, otypes=[object])(array).tolist() if array.size else array.tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        expected = "finite numbers; /v2 has the others, as binary data"
        raise ValueRangeError(f"output {excerpt(tensor.name)}", expected=expected, received="NaN or infinity")
    # An FP16 is an FP32 too; a list of FP32 is written as NumPy prints it, so it stays an array.
    exact = array.astype(np.float32) if array.dtype == np.float16 else array
    return exact if exact.ndim else exact.item()


def _text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": pybase64.b64encode(value).decode()}


def _words(names: Any) -> str:
    return ", ".join(excerpt(name) for name in names) or "none"
