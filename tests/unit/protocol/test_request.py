from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hotplate.errors import (
    DatatypeMismatchError,
    InferenceError,
    MalformedRequestError,
    MissingInputError,
    RequestError,
    ShapeMismatchError,
    UnknownInputError,
    UnknownOutputError,
    ValueRangeError,
)
from hotplate.limits import MAX_RANK, MAX_TENSOR_ELEMENTS
from hotplate.protocol.request import decode_request, encode_request
from hotplate.protocol.types import MetadataTensor, RequestOutput, Tensor
from tests.unit.protocol.payloads import binary_entry, body_of, declare, decode, decode_binary, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

TWO = (declare(name="y"), declare(name="z"))
EITHER = (
    declare(),
    declare(name="image", one_of="picture"),
    declare(name="pixels", one_of="picture"),
)


def names(body: bytes) -> list[str]:
    return [tensor.name for tensor in decode(body, *EITHER).inputs]


def test_unknown_members_and_parameters_are_ignored() -> None:
    sent = entry(parameters={"priority": 3, "nested": {"a": [1]}}, extra=[1])
    request = decode(body_of(sent, id="7", parameters={"timeout": 5}, extra={"a": [[1]]}))
    assert (request.id, request.parameters) == ("7", {"timeout": 5})
    assert request.inputs[0].parameters == {"priority": 3, "nested": {"a": [1]}}


def test_null_counts_as_absent() -> None:
    sent = entry(parameters=None)
    request = decode(body_of(sent, id=None, parameters=None, outputs=None))
    assert (request.id, request.parameters, request.outputs) == (
        None,
        {},
        (RequestOutput("y", binary=False),),
    )


@pytest.mark.parametrize(
    "name", ["a:0", "serving/in::1", "1", '{"a": "b["}', "é😀", "na\0me", " ", "x" * 512]
)
def test_names_are_any_text(name: str) -> None:
    request = decode(
        body_of(entry(name=name), outputs=[{"name": name}]), declare(name=name), outputs=[declare(name=name)]
    )
    assert (request.inputs[0].name, request.outputs) == (name, (RequestOutput(name, binary=False),))


@pytest.mark.parametrize(
    ("body", "received"),
    [
        (b"", "Input is a zero-length, empty document: line 1 column 1 (char 0)"),
        (b"[]", "an array"),
        (b"1", "1"),
        (b"null", "null"),
        (b"{}", "null"),
        (b'{"inputs": null}', "null"),
        (b'{"inputs": {}}', "an object"),
        (b'{"inputs": "x"}', "'x'"),
        (b'{"inputs": [1]}', "1"),
        (b'{"inputs": [[]]}', "an array"),
        (b'{"inputs": [null]}', "null"),
        (b'{"inputs": [], "inputs": []}', "a member twice"),
        (body_of(entry(), id=7), "7"),
        (body_of(entry(), id=["a"]), "an array"),
        (body_of(entry(), parameters=[]), "an array"),
        (body_of(entry(), parameters="p"), "'p'"),
        (body_of(entry(), outputs={}), "an object"),
        (body_of(entry(), outputs=["y"]), "'y'"),
        (body_of(entry(), outputs=[{}]), "null"),
        (body_of(entry(), outputs=[{"name": 1}]), "1"),
        (body_of(entry(), outputs=[{"name": "y"}, {"name": "y"}]), "output 'y' twice"),
        (body_of(entry(), outputs=[{"name": "y", "parameters": 1}]), "1"),
        (body_of(entry(), outputs=[{"name": "y", "parameters": {"binary_data": 1}}]), "1"),
        (body_of(entry(), parameters={"binary_data_output": "true"}), "'true'"),
        (body_of(entry(name=None)), "null"),
        (body_of(entry(name=1)), "1"),
        (body_of(entry(name="")), "''"),
        (body_of(entry(datatype=None)), "null"),
        (body_of(entry(datatype=1)), "1"),
        (body_of(entry(shape=None)), "null"),
        (body_of(entry(shape=2)), "2"),
        (body_of(entry(shape="[2]")), "'[2]'"),
        (body_of(entry(shape=[2.0])), "2.0"),
        (body_of(entry(shape=[True])), "true"),
        (body_of(entry(shape=["2"])), "'2'"),
        (body_of(entry(shape=[[2]])), "an array"),
        (body_of(entry(shape=[None])), "null"),
        (body_of(entry(parameters=[])), "an array"),
        (body_of(entry(data=None)), "neither"),
        (body_of(entry(parameters={"binary_data_size": 8})), "data and parameters.binary_data_size"),
        (body_of(entry(), entry()), "input 'x' twice"),
        (b'{"inputs":[{"name":"x","name":"x","datatype":"FP32","shape":[1],"data":[1]}]}', "a member twice"),
        (body_of(entry(parameters="P")).replace(b'"P"', b'{"a": 1, "a": 2}'), "a member twice"),
    ],
)
def test_malformed_request_is_refused(body: bytes, received: str) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        decode(body)
    assert refused.value.received == received


@pytest.mark.parametrize(
    ("sent", "shape", "error", "expected", "received"),
    [
        (entry("FP64"), (-1,), DatatypeMismatchError, "FP32", "'FP64'"),
        (entry("BF16"), (-1,), DatatypeMismatchError, "FP32", "'BF16'"),
        (entry("float"), (-1,), DatatypeMismatchError, "FP32", "'float'"),
        (entry("F" * 99), (-1,), DatatypeMismatchError, "FP32", repr("F" * 60) + "..."),
        (entry(shape=[2]), (-1, -1), ShapeMismatchError, "[-1, -1]", "[2]"),
        (entry(shape=[2, 1]), (-1,), ShapeMismatchError, "[-1]", "[2, 1]"),
        (entry(shape=[]), (-1,), ShapeMismatchError, "[-1]", "[]"),
        (entry(shape=[2]), (), ShapeMismatchError, "[]", "[2]"),
        (entry(shape=[1, 2]), (-1, 3), ShapeMismatchError, "[-1, 3]", "[1, 2]"),
        (entry(shape=[0, 2]), (1, 2), ShapeMismatchError, "[1, 2]", "[0, 2]"),
        (entry(shape=[-1]), (-1,), ShapeMismatchError, "sizes of 0 and more", "-1"),
        (entry(shape=[-2, -1]), (-1, -1), ShapeMismatchError, "sizes of 0 and more", "-2"),
    ],
)
def test_input_that_is_not_as_declared_is_refused(
    sent: Any, shape: Sequence[int], error: type[RequestError], expected: str, received: str
) -> None:
    with pytest.raises(error, match="of input 'x'") as refused:
        decode(body_of(sent), declare(shape=shape))
    assert (refused.value.expected, refused.value.received) == (expected, received)


@pytest.mark.parametrize(
    "shape",
    [
        [2**40],
        [2**32, 2**32],
        [2**63, 2],
        [2**64],
        [10**30],
        [2**40, 0],
        [0, 2**62, 2**62],
        [MAX_TENSOR_ELEMENTS + 1],
        [1] * (MAX_RANK + 1),
        [1] * 10**6,
        [0] * 10**6,
    ],
    ids=lambda shape: f"{shape[:3]}x{len(shape)}",
)
@pytest.mark.parametrize("form", ["json", "binary"])
def test_shape_too_large_is_refused_before_its_data_is_looked_at(shape: list[int], form: str) -> None:
    body = body_of(entry(shape=shape, data="?") if form == "json" else binary_entry("FP32", shape, 0))
    tracemalloc.start()
    try:
        with pytest.raises(ShapeMismatchError, match="shape of input 'x'"):
            decode(body, declare(shape=[-1] * len(shape)), header=str(len(body)))
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_largest_rank_is_taken() -> None:
    (tensor,) = decode(body_of(entry(shape=[1] * MAX_RANK, data=[5])), declare(shape=[1] * MAX_RANK)).inputs
    assert tensor.array.shape == (1,) * MAX_RANK


@pytest.mark.parametrize("size", [0, 1, 5])
def test_open_dimension_takes_any_size(size: int) -> None:
    (tensor,) = decode(body_of(entry(shape=[size, 2], data=[1] * 2 * size)), declare(shape=(-1, 2))).inputs
    assert tensor.array.shape == (size, 2)


def test_input_that_is_not_declared_is_refused() -> None:
    with pytest.raises(UnknownInputError) as refused:
        decode(body_of(entry(), entry(name="w" * 99)), declare(), declare(name="v"))
    assert (refused.value.expected, refused.value.received) == ("'x', 'v'", f"input {'w' * 60!r}...")


def test_input_that_did_not_come_is_missed() -> None:
    with pytest.raises(MissingInputError) as refused:
        decode(body_of(entry()), declare(), declare(name="v"))
    assert refused.value.expected == "input 'v'"


def test_one_of_a_group_comes() -> None:
    assert names(body_of(entry(), entry(name="image"))) == ["x", "image"]
    assert names(body_of(entry(name="pixels"), entry())) == ["pixels", "x"]


def test_none_of_a_group_is_missed() -> None:
    with pytest.raises(MissingInputError) as refused:
        names(body_of(entry()))
    assert refused.value.expected == "exactly one of 'image', 'pixels'"


FORMS = (
    declare(name="wave", one_of="audio"),
    declare(name="frame", one_of="audio/frames"),
    declare(name="state", one_of="audio/frames"),
)


def forms(*sent: str) -> list[str]:
    return [tensor.name for tensor in decode(body_of(*map(named, sent)), *FORMS).inputs]


def named(name: str) -> dict[str, Any]:
    return entry(name=name)


def test_inputs_of_one_form_come_together() -> None:
    assert forms("wave") == ["wave"]
    assert forms("state", "frame") == ["state", "frame"]
    with pytest.raises(MissingInputError) as refused:
        forms("frame")
    assert refused.value.expected == "input 'state'"


@pytest.mark.parametrize("sent", [("wave", "state"), ("wave", "frame", "state")])
def test_two_forms_of_a_group_are_refused(sent: tuple[str, ...]) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        forms(*sent)
    assert refused.value.expected == "exactly one of 'wave', 'frame' with 'state'"
    assert refused.value.received == ", ".join(f"'{name}'" for name in sent)


def test_no_form_of_a_group_is_missed() -> None:
    with pytest.raises(MissingInputError) as refused:
        forms()
    assert refused.value.expected == "exactly one of 'wave', 'frame' with 'state'"


def test_two_of_a_group_are_refused() -> None:
    with pytest.raises(MalformedRequestError) as refused:
        names(body_of(entry(), entry(name="image"), entry(name="pixels")))
    assert refused.value.expected == "exactly one of 'image', 'pixels'"
    assert refused.value.received == "'image', 'pixels'"


def test_signature_is_judged_before_elements() -> None:
    with pytest.raises(MissingInputError):
        decode(body_of(entry(data=["no number", 1])), declare(), declare(name="v"))


@pytest.mark.parametrize(
    ("outputs", "parameters", "wanted"),
    [
        (None, {}, [("y", False), ("z", False)]),
        ([], {}, [("y", False), ("z", False)]),
        (None, {"binary_data_output": True}, [("y", True), ("z", True)]),
        ([], {"binary_data_output": True}, [("y", True), ("z", True)]),
        ([{"name": "z"}], {}, [("z", False)]),
        ([{"name": "z"}, {"name": "y"}], {}, [("z", False), ("y", False)]),
        (
            [{"name": "z", "parameters": {"binary_data": True}}, {"name": "y"}],
            {},
            [("z", True), ("y", False)],
        ),
        (
            [{"name": "z", "parameters": {"binary_data": False}}, {"name": "y"}],
            {"binary_data_output": True},
            [("z", False), ("y", True)],
        ),
        ([{"name": "z", "parameters": {"classification": 3}}], {"binary_data_output": False}, [("z", False)]),
        ([{"name": "z", "parameters": None}], {}, [("z", False)]),
    ],
)
def test_outputs_are_chosen_ordered_and_given_a_form(
    outputs: Any, parameters: dict[str, Any], wanted: list[tuple[str, bool]]
) -> None:
    request = decode(body_of(entry(), outputs=outputs, parameters=parameters), outputs=TWO)
    assert request.outputs == tuple(RequestOutput(name, binary=binary) for name, binary in wanted)


def test_output_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownOutputError) as refused:
        decode(body_of(entry(), outputs=[{"name": "w"}]), outputs=TWO)
    assert (refused.value.expected, refused.value.received) == ("'y', 'z'", "output 'w'")


def test_object_with_very_many_members_is_read_in_one_scan() -> None:
    many = {f"m{n}": n for n in range(200_000)}
    assert decode(body_of(entry(), **many)).inputs[0].array.tolist() == [1, 2]


def test_brackets_in_names_and_parameters_cost_no_correctness() -> None:
    sent = entry(name="in[0]", shape=[2, 2], data=[[1, 2], [3, 4]], parameters={"p": "[[["})
    (tensor,) = decode(body_of(sent), declare(name="in[0]", shape=(2, 2))).inputs
    assert tensor.array.tolist() == [[1, 2], [3, 4]]


def test_encoded_binary_request_is_aligned_and_marked() -> None:
    body, length = encode_request([Tensor("x", "FP32", np.array([1, 2], "<f4"))], id="7")
    assert length is not None
    assert length % 8 == 0
    assert body[length:] == np.array([1, 2], "<f4").tobytes()
    request = decode_binary(body[:length], body[length:])
    assert (request.id, request.outputs) == ("7", (RequestOutput("y", binary=True),))


def test_encoded_json_request_is_what_the_protocol_shows() -> None:
    body, length = encode_request(
        [Tensor("x", "FP32", np.array([[1, 2.5]], "<f4"), {"p": 1})],
        binary=False,
        outputs=[RequestOutput("y", binary=False)],
    )
    assert length is None
    assert body == (
        b'{"outputs":[{"name":"y","parameters":{"binary_data":false}}],'
        b'"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1.0,2.5],"parameters":{"p":1}}]}'
    )


@pytest.mark.parametrize(
    ("datatype", "array", "error"),
    [
        ("FP16", np.array([1], "<f2"), DatatypeMismatchError),
        ("FP32", np.array([np.nan], "<f4"), ValueRangeError),
        ("BYTES", np.array([b"\xff"], object), ValueRangeError),
        ("FP32", np.array([1.0]), InferenceError),
        ("FP32", np.array([1.0], ">f4"), InferenceError),
        ("BYTES", np.array(["text"], object), InferenceError),
    ],
)
def test_request_that_json_cannot_hold_is_not_encoded(
    datatype: str, array: np.ndarray[Any, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        encode_request([Tensor("x", datatype, array)], binary=False)


def test_optional_input_may_be_left_out_and_is_checked_if_it_comes() -> None:
    inputs = (MetadataTensor("x", "FP32", (1,)), MetadataTensor("more", "FP32", (1,), optional=True))

    def sent(*names: str) -> list[str]:
        tensors = [{"name": name, "datatype": "FP32", "shape": [1], "data": [1]} for name in names]
        body = json.dumps({"inputs": tensors}).encode()
        request = decode_request(body, header_length=None, inputs=inputs, outputs=inputs)
        return [tensor.name for tensor in request.inputs]

    assert sent("x") == ["x"]
    assert sent("more", "x") == ["more", "x"]
    with pytest.raises(MissingInputError):
        sent("more")
    with pytest.raises(MalformedRequestError):
        sent("x", "more", "more")
