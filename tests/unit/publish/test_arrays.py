from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.arrays import array_of, difference, jsonable


@pytest.mark.parametrize(
    ("data", "word", "dtype", "shape"),
    [
        ([[1, 2.5]], "FP32", "float32", (1, 2)),
        ([1, 2], "FP64", "float64", (2,)),
        ([-128, 127], "INT8", "int8", (2,)),
        ([2**64 - 1, 0], "UINT64", "uint64", (2,)),
        ([-(2**63)], "INT64", "int64", (1,)),
        ([True, False], "BOOL", "bool", (2,)),
        (7, "INT64", "int64", ()),
        ([], "FP32", "float32", (0,)),
        ([[], []], "INT64", "int64", (2, 0)),
        ([["a"], [{"b64": "/w=="}]], "BYTES", "object", (2, 1)),
        ("a", "BYTES", "object", ()),
        ([], "BYTES", "object", (0,)),
    ],
    ids=str,
)
def test_nested_lists_become_an_array(data: Any, word: str, dtype: str, shape: tuple[int, ...]) -> None:
    array = array_of(data, word, "here")
    assert (str(array.dtype), array.shape) == (dtype, shape)


def test_bytes_are_text_or_base64() -> None:
    assert array_of(["é", {"b64": "/w=="}], "BYTES", "here").tolist() == ["é".encode(), b"\xff"]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ([1.5], "INT64"),
        ([True], "INT64"),
        ([1], "BOOL"),
        ([True], "FP32"),
        (["1"], "FP32"),
        ([None], "FP32"),
        ([128], "INT8"),
        ([-1], "UINT8"),
        ([2**63], "INT64"),
        ([2**64], "UINT64"),
        ([2**70], "INT64"),
        ([[1], [1, 2]], "FP32"),
        ([[1], 2], "FP32"),
        ([[1], [1, 2]], "INT64"),
        ([True, 2], "INT64"),
        ([1e400], "INT64"),
        ({"a": 1}, "FP32"),
        ([1], "BYTES"),
        ([["a"], "b"], "BYTES"),
        ([["a"], ["b", "c"]], "BYTES"),
        ([{"b64": "?"}], "BYTES"),
        ([{"b64": "", "x": 1}], "BYTES"),
    ],
    ids=str,
)
def test_element_that_the_datatype_does_not_hold_is_refused(data: Any, word: str) -> None:
    with pytest.raises(RefusedError, match="golden row 3"):
        array_of(data, word, "golden row 3")


dtypes = st.sampled_from(["float32", "float64", "int64", "uint8", "bool", "uint64"])
words = {
    "float32": "FP32",
    "float64": "FP64",
    "int64": "INT64",
    "uint8": "UINT8",
    "bool": "BOOL",
    "uint64": "UINT64",
}


@settings(max_examples=60)
@given(
    dtypes.flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
            elements={"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else None,
        )
    )
)
def test_array_survives_the_way_through_json(array: np.ndarray[Any, Any]) -> None:
    text = orjson.dumps(jsonable(array), option=orjson.OPT_SERIALIZE_NUMPY)
    back = array_of(orjson.loads(text), words[str(array.dtype)], "here")
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


@given(st.lists(st.binary(max_size=6), max_size=4))
def test_bytes_survive_the_way_through_json(elements: list[bytes]) -> None:
    array = np.empty(len(elements), object)
    array[:] = elements
    assert array_of(orjson.loads(orjson.dumps(jsonable(array))), "BYTES", "here").tolist() == elements


def f32(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (f32(1.0, 2.0), f32(1.0, 2.0)),
        (f32(100.009), f32(100.0)),
        (f32(0.0009), f32(0.0)),
        (f32(float("nan"), float("inf")), f32(float("nan"), float("inf"))),
        (f32(), f32()),
        (np.array(3), np.array(3)),
        (np.array(["a"], object), np.array([b"a"], object)),
    ],
    ids=["equal", "within rtol", "within atol", "NaN and infinity", "none", "scalar", "text and bytes"],
)
def test_what_is_close_enough_does_not_differ(got: Any, expected: Any) -> None:
    assert difference(got, expected, rtol=1e-4, atol=1e-3) is None


@pytest.mark.parametrize(
    ("got", "expected", "words"),
    [
        (f32(1.0, 2.1), f32(1.0, 2.0), "element [1]"),
        (f32(float("nan")), f32(0.0), "element [0] is nan"),
        (f32(float("inf")), f32(1e30), "element [0] is inf"),
        (f32(1.0), f32(1.0, 2.0), "shape [1], golden has [2]"),
        (np.array([3]), np.array([4]), "element [0] is 3, golden has 4"),
        (np.array([True]), np.array([False]), "element [0]"),
        (np.array([[b"a", b"b"]], object), np.array([[b"a", b"c"]], object), "element [0, 1]"),
        (np.array(3), np.array(4), "element [] is 3"),
    ],
    ids=["float", "NaN", "infinity", "shape", "integer", "bool", "bytes", "scalar"],
)
def test_difference_is_told_with_its_place(got: Any, expected: Any, words: str) -> None:
    assert words in (difference(got, expected, rtol=1e-4, atol=1e-3) or "")
