"""How fast a request becomes an array: ours against the standard library's json with np.array.

Run it: `python -m tests.bench.bench_codecs`. It prints medians and ratios of one run on one machine.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hotplate.protocol.request import decode_request, encode_request
from hotplate.protocol.response import encode_response
from hotplate.protocol.types import InferenceResponse, MetadataTensor, Tensor

DECLARED = (MetadataTensor("x", "FP32", (-1, -1)),)


def median_us(call: Callable[[], Any], seconds: float = 0.5) -> float:
    """Return the median time of a call in microseconds."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - start) / 1000)
    return statistics.median(times)


def stdlib_decode(body: bytes) -> np.ndarray[Any, Any]:
    """Decode as a handler without hotplate would."""
    (sent,) = json.loads(body)["inputs"]
    return np.array(sent["data"], np.float32).reshape(sent["shape"])


def stdlib_encode(array: np.ndarray[Any, Any]) -> bytes:
    """Encode as a handler without hotplate would."""
    output = {"name": "y", "datatype": "FP32", "shape": array.shape, "data": array.reshape(-1).tolist()}
    return json.dumps({"model_name": "m", "outputs": [output]}).encode()


def compare(elements: int) -> None:
    """Print what one size costs in each form."""
    array = np.random.default_rng(0).standard_normal((1, elements)).astype("<f4")
    tensor = Tensor("x", "FP32", array)
    flat, _ = encode_request([tensor], binary=False)
    nested = json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": array.shape, "data": array.tolist()}]}
    ).encode()
    binary, length = encode_request([tensor])
    json_answer = InferenceResponse("m", "1", None, (tensor,))
    binary_answer = InferenceResponse("m", "1", None, (tensor,), frozenset({"x"}))

    def decode(body: bytes, header: str | None = None) -> Callable[[], Any]:
        return lambda: decode_request(body, header_length=header, inputs=DECLARED, outputs=DECLARED)

    decode_base = median_us(lambda: stdlib_decode(flat))
    encode_base = median_us(lambda: stdlib_encode(array))
    rows = [
        ("decode, stdlib json", decode_base, decode_base),
        ("decode, JSON flat", median_us(decode(flat)), decode_base),
        ("decode, JSON nested", median_us(decode(nested)), decode_base),
        ("decode, binary", median_us(decode(binary, str(length))), decode_base),
        ("encode, stdlib json", encode_base, encode_base),
        ("encode, JSON", median_us(lambda: encode_response(json_answer)), encode_base),
        ("encode, binary", median_us(lambda: encode_response(binary_answer)), encode_base),
    ]
    for name, us, base in rows:
        print(f"{elements:>8} floats  {name:<20} {us:>10.1f} us  {base / us:>8.1f}x")  # noqa: T201


if __name__ == "__main__":
    for size in (4, 784, 150_528):
        compare(size)
