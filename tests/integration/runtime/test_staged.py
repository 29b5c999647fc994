"""The first answers come from weights as they are, later ones from rearranged weights; nobody notices."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hotplate.errors import GraphError
from hotplate.runtime.loader import load_model
from hotplate.runtime.model import TransformedGraph
from hotplate.runtime.session import Session
from hotplate.runtime.staged import StagedSession
from tests.support.published import published, republished

WEIGHT = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def graph() -> bytes:
    """Return y = x·W, `x` and `y` FP32 [n, 3]."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y")]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weight = numpy_helper.from_array(WEIGHT, "w")
    made = helper.make_graph([node], "product", values[:1], values[1:], [weight])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(onnx.ModelProto.SerializeToString(model))


def session(prepacking: Any) -> Session:
    return Session(graph(), weights={}, threads=1, prepacking=prepacking)


def asked(staged: StagedSession) -> Any:
    return staged.run({"x": ROWS}, ["y"])["y"]


def test_second_session_takes_over_after_the_first_request() -> None:
    staged = StagedSession(session("off"), lambda: session("parallel"))
    answers, stages = [], []
    for _ in range(3):
        answers.append(asked(staged))
        staged.join()
        stages.append(staged.stage)
    assert stages == [2, 2, 2]
    for answer in answers:
        np.testing.assert_allclose(answer, ROWS @ WEIGHT, rtol=1e-6)


def test_no_request_waits_for_the_second_session() -> None:
    held = threading.Event()

    def build() -> Session:
        assert held.wait(30)
        return session("parallel")

    staged = StagedSession(session("off"), build)
    for _ in range(5):
        asked(staged)
    assert staged.stage == 1
    held.set()
    staged.join()
    assert staged.stage == 2
    np.testing.assert_allclose(asked(staged), ROWS @ WEIGHT, rtol=1e-6)


@pytest.mark.parametrize("fault", [GraphError("no memory"), MemoryError()])
def test_second_session_that_cannot_be_built_costs_no_request(fault: Exception) -> None:
    def build() -> Session:
        raise fault

    staged = StagedSession(session("off"), build)
    for _ in range(3):
        asked(staged)
        staged.join()
    assert (staged.stage, staged.fault) == (1, str(fault) or "MemoryError")


@pytest.mark.parametrize(
    ("init_type", "kind"),
    [("on-demand", StagedSession), ("snap-start", Session), ("provisioned-concurrency", Session)],
)
def test_two_stages_only_where_somebody_waits(init_type: str, kind: type) -> None:
    version = published(graph())
    plan = msgspec.structs.replace(version.manifest.plan, prepacking="later")
    version = republished(msgspec.structs.replace(version.manifest, plan=plan), {version.graph_key: graph()})
    model = load_model(version.settings._replace(init_type=init_type), version.reader)
    assert isinstance(model.predictor, TransformedGraph)
    assert type(model.predictor.session) is kind
