"""Inputs that refer to an object: what is asked for, what becomes of it, what is refused unasked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hotplate.errors import (
    MalformedRequestError,
    MissingInputError,
    PayloadTooLargeError,
    RequestError,
    ShapeMismatchError,
    ValueRangeError,
)
from hotplate.limits import MAX_TENSOR_ELEMENTS, MAX_UPLOAD_BYTES
from hotplate.protocol.request import decode_request, encode_request
from hotplate.protocol.types import InferenceRequest, MetadataTensor, Tensor
from tests.unit.protocol.payloads import ANSWER, binary_entry, body_of, declare, entry

if TYPE_CHECKING:
    from hotplate.protocol.references import Reference

URI = "s3://data/uploads/acme/1"
TWICE = {"input_uri": URI, "binary_data_size": 8}


class Objects:
    """Answers with the same bytes, and keeps what it was asked for."""

    def __init__(self, body: bytes = b"") -> None:
        self.body, self.asked = body, list[Any]()

    def __call__(self, reference: Reference) -> memoryview:
        self.asked.append(reference)
        return memoryview(self.body)


def referring(datatype: str = "FP32", shape: tuple[int, ...] = (2,), **more: Any) -> dict[str, Any]:
    parameters = {"input_uri": URI, "mine": 1}
    return {"name": "x", "datatype": datatype, "shape": shape, "parameters": parameters} | more


def decode(
    objects: Objects | None, body: bytes, *declared: MetadataTensor, header: str | None = None
) -> InferenceRequest:
    signature = declared or (declare(),)
    return decode_request(body, header_length=header, inputs=signature, outputs=ANSWER, fetch=objects)


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "INT64", "UINT8"])
def test_numbers_are_the_objects_bytes(datatype: Any) -> None:
    kinds = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "INT64": "<i8", "UINT8": "u1"}
    array = np.array([[1, 2, 3]], kinds[datatype])
    objects = Objects(array.tobytes())
    request = decode(objects, body_of(referring(datatype, (1, 3))), declare(datatype, (-1, 3)))
    (tensor,) = request.inputs
    assert tensor.array.dtype == array.dtype
    assert np.array_equal(tensor.array, array)
    assert tensor.parameters == {"mine": 1}
    (asked,) = objects.asked
    assert (asked.uri, asked.size, asked.most) == (URI, array.nbytes, MAX_UPLOAD_BYTES)


def test_bytes_are_one_element_without_a_length_before_it() -> None:
    objects = Objects(b"\x89PNG")
    request = decode(objects, body_of(referring("BYTES", (1,))), declare("BYTES"))
    assert request.inputs[0].array.tolist() == [b"\x89PNG"]
    assert objects.asked[0].size is None


def test_inputs_in_the_body_keep_their_places_beside_one_by_reference() -> None:
    signature = (declare(), declare(name="y"), declare(name="z"))
    here = [entry(name="y", data=[3, 4]), binary_entry("FP32", [1], 4) | {"name": "z"}]
    document = body_of(here[0], referring(), here[1])
    tail = np.array([5], "<f4").tobytes()
    objects = Objects(np.array([1, 2], "<f4").tobytes())
    request = decode(objects, document + tail, *signature, header=str(len(document)))
    assert [(each.name, each.array.tolist()) for each in request.inputs] == [
        ("y", [3, 4]),
        ("x", [1, 2]),
        ("z", [5]),
    ]


def test_more_elements_than_a_body_can_hold_come_by_reference() -> None:
    count = MAX_TENSOR_ELEMENTS + 1
    request = decode(Objects(bytes(count)), body_of(referring("UINT8", (count,))), declare("UINT8"))
    assert request.inputs[0].array.shape == (count,)


@pytest.mark.parametrize(
    ("sent", "declared", "kind", "words"),
    [
        (referring(data=[1, 2]), declare(), MalformedRequestError, "got data and parameters.input_uri"),
        (referring(parameters=TWICE), declare(), MalformedRequestError, "size and parameters.input_uri"),
        (referring(parameters={}), declare(), MalformedRequestError, "parameters.input_uri"),
        (referring(parameters={"input_uri": 1}), declare(), MalformedRequestError, "text"),
        (referring("BYTES", (2,)), declare("BYTES"), ShapeMismatchError, "2 elements"),
        (referring("BYTES", (0,)), declare("BYTES"), ShapeMismatchError, "0 elements"),
        (referring("UINT8", (MAX_UPLOAD_BYTES + 1,)), declare("UINT8"), ShapeMismatchError, "at most"),
        (referring("FP32", (MAX_UPLOAD_BYTES // 4 + 1,)), declare(), PayloadTooLargeError, "by reference"),
        (referring(), declare(shape=(3,)), ShapeMismatchError, r"\[3\]"),
    ],
)  # fmt: skip
def test_what_can_be_judged_by_what_was_sent_is_refused_before_anything_is_fetched(
    sent: dict[str, Any], declared: MetadataTensor, kind: type[RequestError], words: str
) -> None:
    objects = Objects()
    with pytest.raises(kind, match=words):
        decode(objects, body_of(sent), declared)
    assert objects.asked == []


def test_nothing_is_fetched_where_another_input_is_missing_or_wrong() -> None:
    objects = Objects()
    with pytest.raises(MissingInputError):
        decode(objects, body_of(referring()), declare(), declare(name="y"))
    with pytest.raises(ValueRangeError):
        decode(objects, body_of(referring(), entry(name="y", data=[1, 1e300])), declare(), declare(name="y"))
    assert objects.asked == []


def test_inputs_of_one_request_share_the_limit() -> None:
    half = MAX_UPLOAD_BYTES // 2 + 1
    objects = Objects(bytes(half))
    body = body_of(referring("UINT8", (half,)), referring("UINT8", (half,), name="y"))
    with pytest.raises(PayloadTooLargeError, match=f"{half} bytes where {MAX_UPLOAD_BYTES - half} were left"):
        decode(objects, body, declare("UINT8"), declare("UINT8", name="y"))
    assert len(objects.asked) == 1


def test_where_references_are_not_taken_they_are_refused() -> None:
    with pytest.raises(MalformedRequestError, match="no references are read here"):
        decode(None, body_of(referring()))


def test_client_sends_a_reference_instead_of_elements() -> None:
    tensors = [
        Tensor("x", "FP32", np.ones(2, np.float32)),
        Tensor("y", "FP32", np.full(1, 7, np.float32)),
    ]
    body, length = encode_request(tensors, references={"x": URI})
    objects = Objects(tensors[0].array.tobytes())
    request = decode(objects, body, declare(), declare(name="y"), header=str(length))
    assert [each.array.tolist() for each in request.inputs] == [[1, 1], [7]]
    body, length = encode_request(tensors[:1], references={"x": URI})
    assert length is None
    assert json.loads(body)["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"input_uri": URI}}
    ]
