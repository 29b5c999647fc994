from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hotplate.errors import (
    DatatypeMismatchError,
    InferenceError,
    MalformedRequestError,
    RequestError,
    ShapeMismatchError,
    ValueRangeError,
)
from hotplate.protocol.response import decode_response, encode_response
from hotplate.protocol.types import InferenceResponse, Tensor

type Array = np.ndarray[Any, Any]


def answer(
    *outputs: Tensor,
    identity: str | None = None,
    binary: frozenset[str] = frozenset(),
) -> InferenceResponse:
    return InferenceResponse("digits", "1.0.0", identity, outputs, binary)


def output(datatype: str, array: Array) -> Tensor:
    return Tensor("y", datatype, array)


def test_json_answer_is_what_the_protocol_shows() -> None:
    scores = Tensor("scores", "FP32", np.array([[0.1, 2.0]], "<f4"))
    labels = Tensor("labels", "BYTES", np.array([["é".encode(), b"b"]], object))
    assert encode_response(answer(scores, labels, identity="7")) == (
        '{"model_name":"digits","model_version":"1.0.0","id":"7","outputs":['
        '{"name":"scores","datatype":"FP32","shape":[1,2],"data":[0.1,2.0]},'
        '{"name":"labels","datatype":"BYTES","shape":[1,2],"data":["é","b"]}]}'.encode(),
        None,
    )


def test_id_is_there_only_if_the_request_had_one() -> None:
    body, _ = encode_response(answer())
    assert json.loads(body) == {"model_name": "digits", "model_version": "1.0.0", "outputs": []}


def test_binary_outputs_follow_in_order_and_the_first_is_aligned() -> None:
    response = answer(
        Tensor("a", "INT16", np.array([1, 2], "<i2")),
        Tensor("b", "BOOL", np.array([True])),
        Tensor("c", "BYTES", np.array([b"\xff"], object)),
        binary=frozenset({"a", "c"}),
    )
    body, length = encode_response(response)
    assert length is not None
    assert length % 8 == 0
    assert json.loads(body[:length])["outputs"] == [
        {"name": "a", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}},
        {"name": "b", "datatype": "BOOL", "shape": [1], "data": [True]},
        {"name": "c", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}},
    ]
    assert body[length:] == b"\x01\0\x02\0" + b"\x01\0\0\0\xff"


@pytest.mark.parametrize(
    ("datatype", "array", "data"),
    [
        ("FP64", np.array([0.1, -0.0, 1e300]), "[0.1,-0.0,1e+300]"),
        ("UINT64", np.array([2**64 - 1], "<u8"), "[18446744073709551615]"),
        ("INT64", np.array([-(2**63), 2**53 + 1], "<i8"), "[-9223372036854775808,9007199254740993]"),
        ("UINT8", np.arange(3, dtype="u1"), "[0,1,2]"),
        ("BOOL", np.array([[True], [False]]), "[true,false]"),
        ("FP32", np.array(2.0, "<f4"), "[2.0]"),
        ("FP32", np.zeros((2, 0), "<f4"), "[]"),
        ("BYTES", np.zeros((0, 2), object), "[]"),
        ("FP32", np.arange(6, dtype="<f4").reshape(2, 3).T, "[0.0,3.0,1.0,4.0,2.0,5.0]"),
        ("FP32", np.arange(6, dtype="<f4")[::-2], "[5.0,3.0,1.0]"),
        ("FP32", np.frombuffer(b"?" + np.array([1, 2], "<f4").tobytes(), "<f4", 2, 1), "[1.0,2.0]"),
    ],
)
def test_data_is_flat_row_major_and_exact(datatype: str, array: Array, data: str) -> None:
    body, _ = encode_response(answer(output(datatype, array)))
    shape = json.dumps(array.shape).replace(" ", "")
    assert f'"shape":{shape},"data":{data}}}'.encode() in body
    binary, length = encode_response(answer(output(datatype, array), binary=frozenset({"y"})))
    (back,) = decode_response(binary, str(length)).outputs
    assert back.array.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("datatype", "array", "error", "received"),
    [
        ("FP32", np.array([1, np.nan], "<f4"), ValueRangeError, "NaN or infinity"),
        ("FP64", np.array([-np.inf]), ValueRangeError, "NaN or infinity"),
        ("FP16", np.array([1], "<f2"), DatatypeMismatchError, "FP16"),
        ("BYTES", np.array([b"ok", b"\xff"], object), ValueRangeError, "bytes that are not UTF-8"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_binary_takes_it(
    datatype: str, array: Array, error: type[RequestError], received: str
) -> None:
    with pytest.raises(error, match="output 'y'") as refused:
        encode_response(answer(output(datatype, array)))
    assert refused.value.received == received
    assert refused.value.expected.endswith("ask for binary data (parameters.binary_data)")
    body, length = encode_response(answer(output(datatype, array), binary=frozenset({"y"})))
    (back,) = decode_response(body, str(length)).outputs
    np.testing.assert_array_equal(back.array, array)


@pytest.mark.parametrize("binary", [frozenset[str](), frozenset({"y"})], ids=["json", "binary"])
@pytest.mark.parametrize(
    ("datatype", "array"),
    [
        ("FP32", np.array([1.0])),
        ("INT64", np.array([1], "<i4")),
        ("INT64", np.array([1], ">i8")),
        ("BYTES", np.array(["text"], object)),
        ("BYTES", np.array([b"text"])),
    ],
)
def test_array_that_is_not_of_its_datatype_is_the_models_fault(
    datatype: str, array: Array, binary: frozenset[str]
) -> None:
    with pytest.raises(InferenceError, match="output 'y' is declared"):
        encode_response(answer(output(datatype, array), binary=binary))


def test_parameters_of_an_output_are_sent() -> None:
    body, _ = encode_response(answer(Tensor("y", "INT8", np.array([1], "i1"), {"unit": "mm"})))
    (back,) = decode_response(body, None).outputs
    assert back.parameters == {"unit": "mm"}


@pytest.mark.parametrize(
    ("body", "header", "error"),
    [
        (b"", None, MalformedRequestError),
        (b"[]", None, MalformedRequestError),
        (b'{"error": "no"}', None, MalformedRequestError),
        (b'{"model_name": 1, "outputs": []}', None, MalformedRequestError),
        (b'{"id": 1, "outputs": []}', None, MalformedRequestError),
        (b'{"outputs": [1]}', None, MalformedRequestError),
        (b'{"outputs": []}x', "15", MalformedRequestError),
        (
            b'{"outputs": [{"name": "y", "datatype": "BF16", "shape": [1], "data": [1]}]}',
            None,
            DatatypeMismatchError,
        ),
        (
            b'{"outputs": [{"name": "y", "datatype": "INT8", "shape": [2], "data": [1]}]}',
            None,
            ShapeMismatchError,
        ),
        (
            b'{"outputs": [{"name": "y", "datatype": "INT8", "shape": [1], "data": [128]}]}',
            None,
            ValueRangeError,
        ),
        (
            b'{"outputs": [{"name": "y", "datatype": "INT8", "shape": [1], "data": [1]},'
            b'{"name": "y", "datatype": "INT8", "shape": [1], "data": [1]}]}',
            None,
            MalformedRequestError,
        ),
    ],
)
def test_what_is_no_answer_is_refused(body: bytes, header: str | None, error: type[RequestError]) -> None:
    with pytest.raises(error):
        decode_response(body, header)
