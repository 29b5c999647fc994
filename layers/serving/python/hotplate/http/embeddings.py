"""OpenAI's embeddings over a model that takes texts and gives a vector and a token count for each.

Which models those are, their signature says: one input, BYTES `[-1]`; an output `embedding`, FP32 `[-1, D]`;
an output `tokens`, INT64 `[-1]`, because callers are told how many there were and nobody guesses.

Source: OpenAI API reference, "Create embeddings".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pybase64

from hotplate.errors import MalformedRequestError, ShapeMismatchError, UnknownPathError, ValueRangeError
from hotplate.http.event import HttpResponse
from hotplate.protocol.json_codec import objects
from hotplate.protocol.json_document import excerpt, fields, is_array, parse
from hotplate.protocol.types import InferenceRequest, RequestOutput, Tensor

if TYPE_CHECKING:
    import numpy as np

    from hotplate.http.aliases import Predict
    from hotplate.manifest.schema import Manifest

    type Array = np.ndarray[Any, Any]

__all__ = ["answer_embeddings", "gives_embeddings"]

_MEMBERS = ("model", "input", "encoding_format", "dimensions")


def gives_embeddings(manifest: Manifest) -> bool:
    """Return whether a model answers OpenAI's embeddings."""
    outputs = {spec.name: spec for spec in manifest.outputs}
    vectors, counts = outputs.get("embedding"), outputs.get("tokens")
    return (
        [(spec.datatype, spec.shape) for spec in manifest.inputs] == [("BYTES", (-1,))]
        and vectors is not None
        and (vectors.datatype, len(vectors.shape), vectors.shape[:1]) == ("FP32", 2, (-1,))
        and counts is not None
        and (counts.datatype, counts.shape) == ("INT64", (-1,))
    )


def answer_embeddings(body: bytes, manifest: Manifest, predict: Predict) -> HttpResponse:
    """Return the answer to `{"model": …, "input": …}`.

    Raises:
        UnknownPathError: The model gives no embeddings.
        RequestError: Not such a body.
        InferenceError: The model failed.
    """
    if not gives_embeddings(manifest):
        raise UnknownPathError(
            "model", expected="a model that gives embeddings", received=repr(manifest.name)
        )
    sent = fields(parse(body), _MEMBERS, what="the request")
    texts = _texts(sent.get("input"))
    encoded = _encoding(sent.get("encoding_format", "float")) == "base64"
    _check_dimensions(sent.get("dimensions"), manifest)
    answer = predict(_request(manifest.inputs[0].name, texts))
    arrays = {tensor.name: tensor.array for tensor in answer.outputs}
    used = int(arrays["tokens"].sum())
    document = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(row) if encoded else row}
            for index, row in enumerate(arrays["embedding"])
        ],
        "model": manifest.name,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }
    return HttpResponse(200, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))


def _texts(node: Any) -> list[str]:
    expected = "a text, or an array of one text or more"
    texts = [node] if isinstance(node, str) else list(node) if is_array(node) else None
    if not texts:
        raise MalformedRequestError("input", expected=expected, received=excerpt(node))
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise MalformedRequestError(f"input[{index}]", expected="a text", received=excerpt(text))
    return texts


def _encoding(node: Any) -> str:
    if node not in ("float", "base64"):
        raise ValueRangeError("encoding_format", expected="float or base64", received=excerpt(node))
    return str(node)


def _check_dimensions(node: Any, manifest: Manifest) -> None:
    size = next(spec.shape[1] for spec in manifest.outputs if spec.name == "embedding")
    if node is not None and (type(node) is not int or node != size):
        raise ShapeMismatchError("dimensions", expected=f"{size}, or nothing", received=excerpt(node))


def _request(name: str, texts: list[str]) -> InferenceRequest:
    tensor = Tensor(name, "BYTES", objects([text.encode() for text in texts], (len(texts),)))
    outputs = tuple(RequestOutput(each, binary=True) for each in ("embedding", "tokens"))
    return InferenceRequest(None, (tensor,), outputs)


def _base64(row: Array) -> str:
    return pybase64.b64encode(row.astype("<f4").tobytes()).decode()
