"""Elements in JSON, by way of whole requests: what is read, and what is refused by which name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hotplate.errors import (
    DatatypeMismatchError,
    MalformedRequestError,
    RequestError,
    ShapeMismatchError,
    ValueRangeError,
)
from tests.unit.protocol.payloads import body_of, declare, decode, entry

if TYPE_CHECKING:
    from hotplate.protocol.types import DatatypeName

INTEGERS = {
    "UINT8": (0, 2**8 - 1), "UINT16": (0, 2**16 - 1), "UINT32": (0, 2**32 - 1), "UINT64": (0, 2**64 - 1),
    "INT8": (-(2**7), 2**7 - 1), "INT16": (-(2**15), 2**15 - 1), "INT32": (-(2**31), 2**31 - 1),
    "INT64": (-(2**63), 2**63 - 1),
}  # fmt: skip


# A member that nobody reads decides how the document is read: as it mostly is, as one with arrays that
# were not seen, and by the second reader.
OTHERS = ["1", "[0]", "18446744073709551616"]


def document_of(datatype: str, shape: list[int], data: str, other: str) -> bytes:
    head = f'"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}'
    return f'{{"inputs":[{{{head}}}],"other":{other}}}'.encode()


def read(
    datatype: DatatypeName, text: str, shape: tuple[int, ...] = (-1,), sent: list[int] | None = None
) -> Any:
    """Return the array of an input whose `data` is this very text."""
    document = body_of(entry(datatype, sent or [len(json.loads(text))], "DATA")).replace(
        b'"DATA"', text.encode()
    )
    (tensor,) = decode(document, declare(datatype, shape)).inputs
    return tensor.array


@pytest.mark.parametrize(
    ("datatype", "text", "expected"),
    [
        ("FP32", "[1, 2.5, -3e-2]", np.array([1, 2.5, -0.03], "<f4")),
        ("FP32", "[-0.0, 1e-50]", np.array([-0.0, 0.0], "<f4")),
        ("FP32", "[3.4028235e38, -3.4028235677973362e38]", np.array([3.4028235e38, -3.4028235e38], "<f4")),
        ("FP32", "[100000000000000000000, 1]", np.array([1e20, 1], "<f4")),
        (
            "FP64",
            "[0.1, 9007199254740993, 1.7976931348623157e308]",
            np.array([0.1, 2.0**53, 1.7976931348623157e308]),
        ),
        ("FP64", "[-100000000000000000000, 18446744073709551615]", np.array([-1e20, 2.0**64])),
        ("INT64", "[9007199254740993, -9223372036854775808]", np.array([2**53 + 1, -(2**63)], "<i8")),
        ("UINT64", "[18446744073709551615, 9007199254740993]", np.array([2**64 - 1, 2**53 + 1], "<u8")),
        ("INT8", "[-0, 1]", np.array([0, 1], "<i1")),
        ("BOOL", "[true, false]", np.array([True, False])),
        (
            "BYTES",
            '["a\\u0000b", "", "\\u00e9\\ud83d\\ude00"]',
            np.array([b"a\0b", b"", "é😀".encode()], object),
        ),
        ("FP32", "[]", np.array([], "<f4")),
        ("BYTES", "[]", np.array([], object)),
    ],
)
def test_elements_are_read_exactly(datatype: DatatypeName, text: str, expected: np.ndarray[Any, Any]) -> None:
    array = read(datatype, text)
    assert array.dtype == expected.dtype
    assert array.tolist() == expected.tolist()
    assert [str(e) for e in array.tolist()] == [str(e) for e in expected.tolist()]  # -0.0 is not 0.0


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_reach_to_both_ends_of_the_datatype_and_no_further(datatype: DatatypeName) -> None:
    low, high = INTEGERS[datatype]
    assert read(datatype, f"[{low}, {high}]").tolist() == [low, high]
    for beyond in (low - 1, high + 1):
        for text in (f"[{low}, {beyond}]", f"[{beyond}, {2**70}]"):
            with pytest.raises(ValueRangeError) as refused:
                read(datatype, text)
            assert refused.value.expected == f"numbers from {low} to {high} for {datatype}"
            assert refused.value.received == str(beyond)


@pytest.mark.parametrize(
    ("datatype", "text", "error", "expected", "received"),
    [
        ("FP32", "[1, 1e39]", ValueRangeError, None, "1e+39"),
        ("FP32", "[-3.4028235677973366e38]", ValueRangeError, None, "-3.4028235677973366e+38"),
        ("FP32", "[100000000000000000000000000000000000000000]", ValueRangeError, None, "1e+41"),
        ("FP32", "[1, true]", DatatypeMismatchError, "numbers for FP32", "true"),
        ("FP64", "[1, null]", DatatypeMismatchError, "numbers for FP64", "null"),
        ("FP64", '["1"]', DatatypeMismatchError, "numbers for FP64", "'1'"),
        ("FP64", '[{"a": 1}]', DatatypeMismatchError, "numbers for FP64", "an object"),
        ("INT64", "[1, 2.0]", DatatypeMismatchError, "integers for INT64", "2.0"),
        ("INT64", "[1, 1e2]", DatatypeMismatchError, "integers for INT64", "100.0"),
        ("UINT8", "[false]", DatatypeMismatchError, "integers for UINT8", "false"),
        ("BOOL", "[true, 1]", DatatypeMismatchError, "true or false for BOOL", "1"),
        ("BOOL", '["true"]', DatatypeMismatchError, "true or false for BOOL", "'true'"),
        ("BYTES", '["a", 1]', DatatypeMismatchError, "strings for BYTES", "1"),
        ("BYTES", "[null]", DatatypeMismatchError, "strings for BYTES", "null"),
        (
            "FP16",
            "[1.0]",
            DatatypeMismatchError,
            "FP16 as binary data (parameters.binary_data_size)",
            "FP16 in JSON",
        ),
    ],
)
def test_element_that_is_not_of_the_datatype_is_refused(
    datatype: DatatypeName, text: str, error: type[RequestError], expected: str | None, received: str
) -> None:
    with pytest.raises(error, match="data of input 'x'") as refused:
        read(datatype, text)
    assert refused.value.received == received
    assert expected in (None, refused.value.expected)


@pytest.mark.parametrize("text", ["[NaN]", "[Infinity]", "[-Infinity]", "[1e400]"])
def test_nan_and_infinity_are_not_json(text: str) -> None:
    with pytest.raises(MalformedRequestError):
        read("FP32", text)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ([], "[5]"),
        ([], "5"),
        ([1], "[5]"),
        ([2, 3], "[1,2,3,4,5,6]"),
        ([2, 3], "[[1,2,3],[4,5,6]]"),
        ([1, 1, 1], "[[[5]]]"),
        ([2, 1, 2], "[[[1,2]],[[3,4]]]"),
        ([0], "[]"),
        ([0, 3], "[]"),
        ([2, 0], "[]"),
        ([2, 0], "[[],[]]"),
        ([2, 0, 3], "[[],[]]"),
        ([2, 2, 0], "[[[],[]],[[],[]]]"),
    ],
)
def test_data_is_flat_or_nested_as_the_shape_says(shape: list[int], text: str, other: str) -> None:
    document = document_of("FP32", shape, text, other)
    (tensor,) = decode(document, declare(shape=[-1] * len(shape))).inputs
    expected = np.array(json.loads(text), "<f4").reshape(shape)
    assert (tensor.array.shape, tensor.array.tolist()) == (expected.shape, expected.tolist())
    assert tensor.array.flags.c_contiguous


RAGGED = [
    ([2], "[1]"),
    ([2], "[1,2,3]"),
    ([], "[]"),
    ([], "[1,2]"),
    ([], "[[1]]"),
    ([0], "[1]"),
    ([1], "[[1]]"),
    ([2], "[1,[2]]"),
    ([2], "[[1,2]]"),
    ([2], "[[1],2]"),
    ([3], "[1,[2,3]]"),
    ([3], "[[],[1,2],3]"),
    ([2, 2], "[[1,2],[3]]"),
    ([2, 2], "[[1],[2,3,4]]"),
    ([2, 2], "[[1,2,3],[4]]"),
    ([2, 2], "[1,2,3,[4]]"),
    ([2, 2], "[1,2,[3,4]]"),
    ([2, 2], "[[1,2],3,4]"),
    ([2, 2], "[[1,2],3]"),
    ([2, 2], "[[1,[2]],[3,4]]"),
    ([2, 2], "[[1,2],[3,4],[]]"),
    ([2, 2], "[[[1,2],[3,4]]]"),
    ([2, 2], "[[[1],2],[3,4]]"),
    ([2, 2], "[[[1,2]],[[3,4]]]"),
    ([4, 1], "[[1,2],[3,4]]"),
    ([1, 4], "[[1],[2],[3],[4]]"),
    ([2, 1, 2], "[[1,2],[3,4]]"),
    ([2, 1, 2], "[[[1],[2]],[[3,4]]]"),
    ([2, 0], "[[]]"),
    ([2, 0], "[[],[],[]]"),
    ([2, 0], "[[],[[]]]"),
    ([0, 2], "[[]]"),
]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("datatype", ["FP32", "INT64", "BYTES", "BOOL"])
@pytest.mark.parametrize(("shape", "text"), RAGGED)
def test_ragged_data_is_refused_even_if_the_count_matches(
    shape: list[int], text: str, datatype: DatatypeName, other: str
) -> None:
    element = {"FP32": "1", "INT64": "1", "BYTES": '"["', "BOOL": "true"}[datatype]
    text = "".join(element if character.isdigit() else character for character in text)
    document = document_of(datatype, shape, text, other)
    with pytest.raises(ShapeMismatchError):
        decode(document, declare(datatype, [-1] * len(shape)))


@pytest.mark.parametrize("data", [1, "1,2", {"a": 1}, True])
def test_data_that_is_no_array_is_refused(data: Any) -> None:
    with pytest.raises(MalformedRequestError, match="data of input 'x': expected an array"):
        decode(body_of(entry(data=data)))


def test_rank_0_data_that_is_an_object_is_refused() -> None:
    with pytest.raises(DatatypeMismatchError):
        decode(body_of(entry(shape=[], data={"a": 1})), declare(shape=()))


def test_bytes_are_read_as_base64_where_the_input_says_so() -> None:
    sent = entry("BYTES", [2], ["AP8=", ""], parameters={"content_type": "base64"})
    (tensor,) = decode(body_of(sent), declare("BYTES")).inputs
    assert tensor.array.tolist() == [b"\x00\xff", b""]
    assert tensor.parameters == {"content_type": "base64"}


@pytest.mark.parametrize("text", ["AP8", "A", "AP8=\n", "A*8=", "é", "AP8=AP8="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    sent = entry("BYTES", [1], [text], parameters={"content_type": "base64"})
    with pytest.raises(MalformedRequestError) as refused:
        decode(body_of(sent), declare("BYTES"))
    assert (refused.value.expected, refused.value.received) == ("base64", repr(text))


def test_other_content_types_are_text() -> None:
    sent = entry("BYTES", [1], ["AP8="], parameters={"content_type": "str"})
    (tensor,) = decode(body_of(sent), declare("BYTES")).inputs
    assert tensor.array.tolist() == [b"AP8="]


def test_long_element_is_not_repeated_in_the_error() -> None:
    with pytest.raises(DatatypeMismatchError) as refused:
        decode(body_of(entry("FP32", [1], ["secret" * 1000])))
    assert len(str(refused.value)) < 200
