"""An endpoint asked with arrays, as trainers' `evaluate` asks a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hotplate.protocol.datatypes import from_dtype
from hotplate.protocol.request import encode_request
from hotplate.protocol.response import decode_response
from hotplate.protocol.types import Tensor
from tests.support.http_call import Answer, call

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    Array = np.ndarray[Any, Any]

LENGTH = "Inference-Header-Content-Length"


def infer(server: str, model: str, **inputs: Array) -> Answer:
    """Send arrays as binary data; objects are BYTES."""
    tensors = [Tensor(name, from_dtype(array.dtype).name, array) for name, array in inputs.items()]
    body, length = encode_request(tensors)
    headers = {} if length is None else {LENGTH: str(length)}
    return call(server, "POST", f"/v2/models/{model}/infer", body, headers)


def answers(server: str, model: str, **inputs: Array) -> Mapping[str, Array]:
    """Return the outputs of a call that has to succeed."""
    answer = infer(server, model, **inputs)
    assert answer.status == 200, answer.body
    response = decode_response(answer.body, answer.headers[LENGTH.lower()])
    return {tensor.name: tensor.array for tensor in response.outputs}
