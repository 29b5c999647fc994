"""An explanation in the words of a protocol: tensors of the Open Inference Protocol, or KServe's v1.

| tensor | is |
|---|---|
| `attribution.{input}` | FP32, the input's shape |
| `target` | INT64 [rows]: the column that was explained |
| `score` | FP32 [rows]: what the model gave there |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from hotplate.http.event import HttpResponse
from hotplate.protocol.response import encode_response
from hotplate.protocol.types import InferenceResponse, Tensor
from hotplate.runtime.explain import explain

if TYPE_CHECKING:
    from hotplate.protocol.types import InferenceRequest
    from hotplate.runtime.model import Model

__all__ = ["answer_explain", "explanations"]

_LENGTH_HEADER = "inference-header-content-length"


def answer_explain(model: Model, request: InferenceRequest) -> HttpResponse:
    """Return the answer to `POST …/explain`; binary where the request asks for binary outputs.

    Raises:
        RequestError, InferenceError: As `explain`.
    """
    found = explain(model, request)
    tensors = [Tensor(f"attribution.{name}", "FP32", array) for name, array in found.attributions.items()]
    tensors += [Tensor("target", "INT64", found.target), Tensor("score", "FP32", found.score)]
    binary = any(output.binary for output in request.outputs)
    response = InferenceResponse(
        model_name=model.manifest.name,
        model_version=model.version,
        id=request.id,
        outputs=tuple(tensors),
        binary=frozenset(tensor.name for tensor in tensors) if binary else frozenset(),
    )
    body, length = encode_response(response)
    if length is None:
        return HttpResponse(200, body)
    return HttpResponse(200, body, {_LENGTH_HEADER: str(length)}, "application/octet-stream")


def explanations(model: Model, request: InferenceRequest) -> HttpResponse:
    """Return the answer to KServe's `:explain`: one explanation an instance.

    Raises:
        RequestError, InferenceError: As `explain`.
    """
    found = explain(model, request)
    rows = [
        {
            "output": found.output,
            "target": int(found.target[row]),
            "score": found.score[row],
            "attributions": {name: array[row] for name, array in found.attributions.items()},
        }
        for row in range(len(found.target))
    ]
    return HttpResponse(200, orjson.dumps({"explanations": rows}, option=orjson.OPT_SERIALIZE_NUMPY))
