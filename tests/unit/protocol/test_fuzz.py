"""Law: whatever the bytes are, a request is decoded or a RequestError says why not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from hotplate.errors import RequestError
from hotplate.protocol.request import decode_request, encode_request
from hotplate.protocol.response import decode_response
from hotplate.protocol.types import MetadataTensor, RequestOutput, Tensor

DECLARED = (
    MetadataTensor("x", "FP32", (-1, 2)),
    MetadataTensor("n", "INT64", ()),
    MetadataTensor("b", "BOOL", (-1,)),
    MetadataTensor("t", "BYTES", (-1,)),
)
VALID = [
    Tensor("x", "FP32", np.array([[1, 2.5], [3, 4]], "<f4")),
    Tensor("n", "INT64", np.array(7, "<i8")),
    Tensor("b", "BOOL", np.array([True, False])),
    Tensor("t", "BYTES", np.array([b"a", b"[bc]"], object)),
]
JSON_BODY, _ = encode_request(VALID, outputs=[RequestOutput("x", binary=False)], id="i", binary=False)
BINARY_BODY, _LENGTH = encode_request(VALID, outputs=[RequestOutput("x", binary=True)], id="i")

HEADERS = st.none() | st.just(str(_LENGTH)) | st.integers(-9, 999).map(str) | st.text(max_size=5)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
    | st.sampled_from(["x", "n", "FP32", "INT64", "BYTES", "base64"])
)  # fmt: skip
KEYS = st.sampled_from(
    ["name", "shape", "datatype", "data", "parameters", "inputs", "outputs", "id", "binary_data_size"]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


def survives(body: bytes, header: str | None) -> None:
    with contextlib.suppress(RequestError):
        decode_request(body, header_length=header, inputs=DECLARED, outputs=DECLARED)
    with contextlib.suppress(RequestError):
        decode_response(body, header)


@given(st.binary(max_size=64), HEADERS)
@example(b"\xef\xbb\xbf{}", None)
@example(b'{"inputs":[{"na\\u0000me":1}]}', None)
def test_any_bytes_are_survived(body: bytes, header: str | None) -> None:
    survives(body, header)


@given(VALUES, HEADERS)
def test_any_json_is_survived(value: Any, header: str | None) -> None:
    survives(json.dumps(value).encode(), header)
    survives(json.dumps({"inputs": value}).encode(), header)


@given(
    st.sampled_from([JSON_BODY, BINARY_BODY]),
    st.lists(
        st.tuples(st.integers(0, 999), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=4
    ),
    HEADERS,
)
def test_any_change_of_valid_bytes_is_survived(
    body: bytes, changes: list[tuple[int, int, bytes]], header: str | None
) -> None:
    for at, length, put in changes:
        at %= len(body) + 1
        body = body[:at] + put + body[at + length :]
    survives(body, header)


@given(st.integers(0, 3), KEYS, VALUES)
def test_any_member_replaced_is_survived(index: int, key: str, value: Any) -> None:
    document = json.loads(JSON_BODY)
    document["inputs"][index][key] = value
    survives(json.dumps(document).encode(), None)
    survives(json.dumps(json.loads(JSON_BODY) | {key: value}).encode(), None)


@given(st.integers(0, len(BINARY_BODY)))
def test_any_truncation_is_survived(length: int) -> None:
    survives(BINARY_BODY[:length], str(_LENGTH))
    survives(JSON_BODY[:length], None)
