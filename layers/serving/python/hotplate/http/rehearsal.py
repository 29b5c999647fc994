"""Two made-up requests before the first real one: what is lazy in the codecs is done by then.

They are read and answered while the files are still being fetched, so a cold start seldom waits for it. The
model is not asked: `hotplate.runtime.warmup` does that once it is there.
"""

from __future__ import annotations

from hotplate.http.event import HttpResponse, read_event, write_result
from hotplate.http.routes import route_of
from hotplate.protocol.request import decode_request
from hotplate.protocol.response import encode_response
from hotplate.protocol.types import InferenceResponse, MetadataTensor

__all__ = ["rehearse"]

_SIGNATURE = (MetadataTensor("x", "FP32", (-1, 2)),)
_JSON = '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}'
# Its binary part is eight NULs: two zeros.
_BINARY = '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}'


def rehearse() -> None:
    """Read and answer one request in JSON and one in binary data."""
    _rehearse(_JSON, {}, "application/json")
    length = {"inference-header-content-length": str(len(_BINARY))}
    _rehearse(_BINARY + "\0" * 8, length, "application/octet-stream")


def _rehearse(body: str, headers: dict[str, str], content_type: str) -> None:
    event = {"httpMethod": "POST", "path": "/v2/models/x/infer", "headers": headers, "body": body}
    request = read_event(event)
    route_of(request)
    header_length = headers.get("inference-header-content-length")
    decoded = decode_request(request.body, header_length=header_length, inputs=_SIGNATURE, outputs=_SIGNATURE)
    binary = frozenset({"x"} if headers else ())
    answer, _ = encode_response(InferenceResponse("x", "1", None, decoded.inputs, binary))
    write_result(HttpResponse(200, answer, {}, content_type))
