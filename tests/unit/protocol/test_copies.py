"""How often a tensor's bytes are copied, and that its numbers never become Python objects."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hotplate.http.event import HttpResponse, read_event, write_result
from hotplate.protocol.request import decode_request, encode_request
from hotplate.protocol.response import encode_response
from hotplate.protocol.types import InferenceResponse, MetadataTensor, Tensor

PIXELS = 3 * 224 * 224
PICTURE = Tensor("x", "FP32", np.random.default_rng(0).random((1, PIXELS), np.float32))
DECLARED = (MetadataTensor("x", "FP32", (-1, PIXELS)),)
BYTES = PICTURE.array.nbytes
SMALL = 64 * 1024


def peak(call: Callable[[], Any]) -> int:
    """Return how many bytes `call` held at most, beyond what was there before."""
    call()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def decode(body: bytes, length: int | None) -> Any:
    return decode_request(
        body, header_length=None if length is None else str(length), inputs=DECLARED, outputs=DECLARED
    )


def test_binary_tensor_is_a_view_of_the_body() -> None:
    body, length = encode_request([PICTURE])
    (tensor,) = decode(body, length).inputs
    assert np.shares_memory(tensor.array, np.frombuffer(body, np.uint8))
    assert tensor.array.flags.aligned, "ONNX Runtime would want a copy"
    assert peak(lambda: decode(body, length)) < SMALL


def test_event_is_decoded_in_one_copy() -> None:
    body, length = encode_request([PICTURE])
    answer = write_result(HttpResponse(200, body, {}, "application/octet-stream"))
    event = {"httpMethod": "POST", "path": "/v2/models/x/infer", "headers": {}, **answer}
    assert peak(lambda: decode(read_event(event).body, length)) < BYTES + SMALL


@pytest.mark.parametrize("nested", [False, True])
def test_numbers_in_json_never_become_python_objects(nested: bool) -> None:
    body, _ = encode_request([PICTURE], binary=False)
    if nested:
        body = body.replace(b'"data":[', b'"data":[[').replace(b"]}]}", b"]]}]}")
    decode(body, None)
    before = sys.getallocatedblocks()
    request = decode(body, None)
    assert sys.getallocatedblocks() - before < 200
    assert request.inputs[0].array.tolist() == PICTURE.array.tolist()
    # The parser's FP64 and the FP32 that is kept; a list of Python floats would be 32 bytes a number.
    assert peak(lambda: decode(body, None)) < PIXELS * (8 + 4) + SMALL


def test_binary_answer_is_copied_once_into_the_body_and_once_into_the_event() -> None:
    response = InferenceResponse("m", "1", None, (PICTURE,), frozenset({"x"}))
    assert peak(lambda: encode_response(response)) < BYTES + SMALL
    body, _ = encode_response(response)
    result = HttpResponse(200, body, {}, "application/octet-stream")
    assert peak(lambda: write_result(result)) < BYTES * 4 / 3 + SMALL
