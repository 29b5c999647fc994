from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hotplate.errors import MalformedRequestError, RequestError, ShapeMismatchError, ValueRangeError
from tests.unit.protocol.payloads import binary_entry, body_of, declare, decode, decode_binary, entry

if TYPE_CHECKING:
    from hotplate.protocol.types import DatatypeName

FLOATS = np.arange(6, dtype="<f4")


def lengths(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def test_binary_tensor_is_a_read_only_view_of_the_body() -> None:
    document = body_of(binary_entry("FP32", [2, 3], 24))
    body = document + FLOATS.tobytes()
    (tensor,) = decode(body, declare(shape=(-1, 3)), header=str(len(document))).inputs
    assert tensor.array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not tensor.array.flags.writeable
    assert np.shares_memory(tensor.array, np.frombuffer(body, np.uint8))
    assert tensor.parameters == {}


@pytest.mark.parametrize("pad", range(8))
def test_binary_tensor_may_begin_anywhere(pad: int) -> None:
    document = body_of(binary_entry("FP64", [2], 16)) + b" " * pad
    (tensor,) = decode_binary(document, np.array([1.5, np.nan]).tobytes(), declare("FP64")).inputs
    assert tensor.array[0] == 1.5
    assert np.isnan(tensor.array[1])


@pytest.mark.parametrize(
    ("datatype", "array"),
    [
        ("FP16", np.array([1.5, np.inf, np.nan], "<f2")),
        ("FP32", np.array([-0.0, -np.inf, np.nan], "<f4")),
        ("UINT64", np.array([2**64 - 1, 0, 1], "<u8")),
        ("INT8", np.array([-128, 127, 0], "<i1")),
        ("BOOL", np.array([True, False, True])),
    ],
)
def test_elements_are_little_endian_and_any_value_is_taken(
    datatype: DatatypeName, array: np.ndarray[Any, Any]
) -> None:
    document = body_of(binary_entry(datatype, [3], array.nbytes))
    (tensor,) = decode_binary(document, array.tobytes(), declare(datatype)).inputs
    assert tensor.array.dtype == array.dtype
    assert tensor.array.tobytes() == array.tobytes()


def test_bool_other_than_0_and_1_is_refused() -> None:
    with pytest.raises(ValueRangeError) as refused:
        decode_binary(body_of(binary_entry("BOOL", [3], 3)), b"\x00\x01\x02", declare("BOOL"))
    assert (refused.value.expected, refused.value.received) == ("bytes 0 and 1 for BOOL", "2")


@pytest.mark.parametrize("shape", [[0], [2, 0], [0, 4, 2]])
@pytest.mark.parametrize("datatype", ["FP32", "BOOL", "BYTES"])
def test_zero_size_tensor_takes_no_bytes(shape: list[int], datatype: DatatypeName) -> None:
    document = body_of(binary_entry(datatype, shape, 0))
    (tensor,) = decode_binary(document, b"", declare(datatype, [-1] * len(shape))).inputs
    assert tensor.array.shape == tuple(shape)


def test_bytes_elements_carry_their_length() -> None:
    tail = lengths(b"", b"\xff\x00", b"x" * 300, b"a")
    document = body_of(binary_entry("BYTES", [2, 2], len(tail)))
    (tensor,) = decode_binary(document, tail, declare("BYTES", (-1, 2))).inputs
    assert tensor.array.tolist() == [[b"", b"\xff\x00"], [b"x" * 300, b"a"]]


def test_json_and_binary_tensors_mix_in_any_order() -> None:
    document = body_of(
        binary_entry("BYTES", [1], 5, name="b"), entry(), binary_entry("INT16", [], 2, name="c")
    )
    request = decode_binary(
        document,
        lengths(b"z") + b"\x07\x00",
        declare(),
        declare("INT16", (), name="c"),
        declare("BYTES", name="b"),
    )
    assert [(t.name, t.array.tolist()) for t in request.inputs] == [("b", [b"z"]), ("x", [1, 2]), ("c", 7)]


@pytest.mark.parametrize(
    ("datatype", "shape", "tail", "error", "expected", "received"),
    [
        ("FP32", [2], b"x" * 7, ShapeMismatchError, "8 bytes for FP32 of shape [2]", "7 bytes"),
        ("FP32", [2], b"x" * 9, ShapeMismatchError, "8 bytes for FP32 of shape [2]", "9 bytes"),
        ("FP32", [0], b"x", ShapeMismatchError, "0 bytes for FP32 of shape [0]", "1 bytes"),
        (
            "BYTES",
            [2],
            b"x" * 7,
            ShapeMismatchError,
            "2 elements, each with its length in 4 bytes",
            "7 bytes",
        ),
        (
            "BYTES",
            [2],
            lengths(b"ab") + b"\0\0",
            MalformedRequestError,
            "a length in 4 bytes",
            "the tensor's end",
        ),
        ("BYTES", [1], b"\x05\0\0\0abcd", MalformedRequestError, "5 bytes in an element", "4 bytes left"),
        ("BYTES", [1], b"\xff" * 8, MalformedRequestError, "4294967295 bytes in an element", "4 bytes left"),
        ("BYTES", [1], lengths(b"a", b"b"), ShapeMismatchError, "the end after 1 elements", "5 bytes more"),
        ("BYTES", [0], b"x", ShapeMismatchError, "the end after 0 elements", "1 bytes more"),
    ],
)
def test_binary_data_that_disagrees_with_its_shape_is_refused(
    datatype: DatatypeName,
    shape: list[int],
    tail: bytes,
    error: type[RequestError],
    expected: str,
    received: str,
) -> None:
    with pytest.raises(error, match="binary data of input 'x'") as refused:
        decode_binary(body_of(binary_entry(datatype, shape, len(tail))), tail, declare(datatype))
    assert (refused.value.expected, refused.value.received) == (expected, received)


@pytest.mark.parametrize(
    ("size", "received"),
    [(-1, "-1"), (8.0, "8.0"), (True, "true"), ("8", "'8'"), ([8], "an array"), (2**64, str(2**64))],
)
def test_binary_data_size_that_is_no_size_is_refused(size: Any, received: str) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        decode_binary(body_of(binary_entry("FP32", [2], size)), b"x" * 8)
    assert refused.value.received in (received, "8 bytes left in the body")


def test_binary_data_that_runs_past_the_body_is_refused() -> None:
    with pytest.raises(MalformedRequestError) as refused:
        decode_binary(body_of(binary_entry("FP32", [2], 8)), b"x" * 7)
    assert (refused.value.expected, refused.value.received) == ("8 bytes", "7 bytes left in the body")


@pytest.mark.parametrize("first", [entry(), binary_entry("FP32", [2], 8)], ids=["json", "binary"])
def test_bytes_after_the_last_tensor_are_refused(first: dict[str, Any]) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        decode_binary(body_of(first), b"x" * (12 if "parameters" in first else 4))
    assert refused.value.received == "4 bytes more"


def test_binary_data_without_the_header_is_refused() -> None:
    with pytest.raises(MalformedRequestError) as refused:
        decode(body_of(binary_entry("FP32", [2], 8)))
    assert refused.value.expected == "the header Inference-Header-Content-Length beside it"


@pytest.mark.parametrize(
    "header",
    ["", " ", "-1", "+5", " 5", "5 ", "5\n", "5.0", "0x10", "1e2", "٥", "five", "1_0", "9" * 19, "9" * 5000],
)
def test_header_that_is_no_plain_number_is_refused(header: str) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        decode(body_of(entry()), header=header)
    assert refused.value.expected == "a number in digits"


def test_header_longer_than_the_body_is_refused() -> None:
    body = body_of(entry())
    with pytest.raises(MalformedRequestError) as refused:
        decode(body, header=str(len(body) + 1))
    assert refused.value.expected == f"at most the {len(body)} bytes of the body"


@pytest.mark.parametrize("header", ["0", "5"])
def test_header_that_cuts_the_json_part_is_refused(header: str) -> None:
    with pytest.raises(MalformedRequestError):
        decode(body_of(entry()), header=header)


def test_header_equal_to_the_body_means_json() -> None:
    body = body_of(entry())
    (tensor,) = decode(body, header=f"0{len(body)}").inputs
    assert tensor.array.tolist() == [1, 2]
