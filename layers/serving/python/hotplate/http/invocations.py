"""SageMaker's invocations: the body by its content type, and an answer of the same kind.

| content type | body | answer |
|---|---|---|
| JSON, or none | `inputs` as `POST …/infer` takes it, or `instances` as KServe's v1; uploads too | as there |
| `TRITON`, with the parameter `json-header-size` | binary tensors behind so many bytes of JSON | the same |
| `image/*`, `text/plain`, `application/octet-stream` | one element of the model's only BYTES input | JSON |

With `Inference-Header-Content-Length` a body is binary tensors whatever its type says.

Source: Amazon SageMaker API Reference, "InvokeEndpoint"; Developer Guide, "Use your own inference code";
AWS's Triton containers (`sagemaker-triton.binary+json`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hotplate.errors import UnsupportedMediaTypeError
from hotplate.http.event import HttpResponse
from hotplate.http.kserve import answer_predict
from hotplate.protocol.json_codec import objects
from hotplate.protocol.json_document import excerpt, fields, parse
from hotplate.protocol.request import decode_request, encode_request
from hotplate.protocol.response import encode_response
from hotplate.protocol.types import RequestOutput, Tensor

if TYPE_CHECKING:
    from hotplate.http.aliases import Predict
    from hotplate.http.event import HttpRequest
    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.references import Fetch
    from hotplate.protocol.types import InferenceRequest

__all__ = ["answer_invocation"]

LENGTH_HEADER = "inference-header-content-length"
TRITON = "application/vnd.sagemaker-triton.binary+json"

_SIZE = re.compile(r"json-header-size=(\d{1,18})", re.ASCII)
_RAW = re.compile(r"image/[\w.+-]+|text/plain|application/octet-stream", re.ASCII)
_KNOWN = f"application/json, {TRITON}, image/*, text/plain or application/octet-stream"


def answer_invocation(
    request: HttpRequest, manifest: Manifest, predict: Predict, fetch: Fetch | None = None
) -> HttpResponse:
    """Return the model's answer.

    Raises:
        UnsupportedMediaTypeError: The content type is another, or the model takes no such body.
        RequestError: The body is not what it says, or does not fit the signature.
        InferenceError: The model failed.
    """
    sent_type = request.headers.get("content-type") or "application/json"
    media = sent_type.partition(";")[0].strip().lower()
    length = request.headers.get(LENGTH_HEADER)
    if length is None and media == TRITON:
        found = _SIZE.search(sent_type)
        length = found[1] if found else None
    if length is None and media in ("application/json", TRITON) and _has_instances(request.body):
        return answer_predict(request.body, manifest, predict, fetch)
    if length is not None or media in ("application/json", TRITON):
        decoded = decode_request(
            request.body,
            header_length=length,
            inputs=manifest.inputs,
            outputs=manifest.outputs,
            fetch=fetch,
        )
    elif _RAW.fullmatch(media):
        decoded = _raw_request(request.body, media, manifest)
    else:
        raise UnsupportedMediaTypeError("content type", expected=_KNOWN, received=excerpt(media))
    body, header_length = encode_response(predict(decoded))
    if header_length is None:
        return HttpResponse(200, body)
    kind = f"{TRITON};json-header-size={header_length}"
    return HttpResponse(200, body, {LENGTH_HEADER: str(header_length)}, kind)


def _has_instances(body: bytes) -> bool:
    return "instances" in fields(parse(body), ("instances",), what="the request")


def _raw_request(body: bytes, media: str, manifest: Manifest) -> InferenceRequest:
    candidates = [spec for spec in manifest.inputs if spec.datatype == "BYTES" and spec.shape == (-1,)]
    if len(candidates) != 1:
        raise UnsupportedMediaTypeError(
            f"content type of a request to {manifest.name!r}", expected="application/json", received=media
        )
    tensor = Tensor(candidates[0].name, "BYTES", objects([body], (1,)))
    outputs = [RequestOutput(spec.name, binary=False) for spec in manifest.outputs]
    # Written as the protocol has it and read again, so that what else the signature asks for is judged there.
    written, length = encode_request([tensor], outputs=outputs)
    return decode_request(
        written, header_length=str(length), inputs=manifest.inputs, outputs=manifest.outputs
    )
