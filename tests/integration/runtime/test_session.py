"""What ONNX Runtime takes and gives, and what it would get wrong without a word."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hotplate.errors import GraphError, InferenceError, StepTimeoutError, ValueRangeError
from hotplate.runtime.deadline import DEADLINE
from hotplate.runtime.session import Session
from tests.support.published import affine_graph
from tests.support.tiny_models import slow


def identity(kind: int) -> bytes:
    """Return y = x for any shape [n]."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", kind, ["n"])],
        [helper.make_tensor_value_info("y", kind, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(onnx.ModelProto.SerializeToString(model))


def session(graph: bytes) -> Session:
    return Session(graph, weights={}, threads=1)


def test_text_goes_in_and_comes_back_as_bytes() -> None:
    sent = np.array([b"a", "日本".encode(), b""], dtype=object)
    got = session(identity(TensorProto.STRING)).run({"x": sent}, ["y"])["y"]
    assert got.tolist() == sent.tolist()


def test_bytes_that_are_no_text_are_the_callers_fault() -> None:
    with pytest.raises(ValueRangeError, match="UTF-8"):
        session(identity(TensorProto.STRING)).run({"x": np.array([b"\xff"], dtype=object)}, ["y"])


def test_unaligned_views_are_copied_and_right() -> None:
    raw = b"." + np.arange(6, dtype="<f4").tobytes()
    view = np.frombuffer(raw, "<f4", offset=1).reshape(2, 3)
    assert not view.flags.aligned
    got = session(affine_graph()).run({"x": view}, ["y"])["y"]
    np.testing.assert_array_equal(got, np.arange(6, dtype=np.float32).reshape(2, 3) * 2)


@pytest.mark.parametrize(
    "feeds",
    [{}, {"z": np.zeros((1, 3), np.float32)}, {"x": np.zeros((1, 4), np.float32)}, {"x": np.zeros((1, 3))}],
    ids=["missing", "unknown", "shape", "dtype"],
)
def test_every_fault_of_the_library_is_ours(feeds: dict[str, np.ndarray]) -> None:
    with pytest.raises(InferenceError):
        session(affine_graph()).run(feeds, ["y"])


@pytest.mark.parametrize("graph", [b"", b"nonsense", affine_graph()[:-9]], ids=["empty", "nonsense", "cut"])
def test_bytes_that_are_no_graph_are_refused(graph: bytes) -> None:
    with pytest.raises(GraphError):
        session(graph)


def test_graph_says_what_it_takes() -> None:
    assert session(affine_graph()).inputs == [("x", (-1, 3), np.dtype("<f4"))]


def test_external_weights_are_borrowed_and_kept() -> None:
    values = np.arange(3000, dtype=np.float32)
    weights = onnx.numpy_helper.from_array(values, "w")
    onnx.external_data_helper.set_external_data(weights, "weights.bin", offset=0, length=values.nbytes)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "add",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3000])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3000])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    blob = memoryview(np.array(values)).cast("B").toreadonly()
    built = Session(model.SerializeToString(), weights={"weights.bin": blob}, threads=1)
    del blob
    got = built.run({"x": np.ones((2, 3000), np.float32)}, ["y"])["y"]
    np.testing.assert_array_equal(got, np.tile(values + 1, (2, 1)))


def test_run_that_takes_longer_than_its_request_may_is_stopped_and_the_next_is_fine() -> None:
    graph = session(slow().SerializeToString())
    started = time.monotonic()
    with DEADLINE.within(0.3), pytest.raises(StepTimeoutError, match=r"more than 0\.3 s and was stopped"):
        graph.run({"x": np.array([10**15])}, ["y"])
    assert time.monotonic() - started < 10
    with DEADLINE.within(30):
        assert graph.run({"x": np.array([3])}, ["y"])["y"].tolist() == [0.0]


def test_fault_of_a_graph_with_a_deadline_is_no_time_out() -> None:
    with DEADLINE.within(30), pytest.raises(InferenceError) as caught:
        session(affine_graph()).run({"x": np.zeros((1, 4), np.float32)}, ["y"])
    assert not isinstance(caught.value, StepTimeoutError)
