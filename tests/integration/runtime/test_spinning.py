"""A session's threads rest: what they burn is taken from the client that answers, or from other functions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hotplate.runtime.session import Session
from hotplate_tools.bench.graphs import write_mlp

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 200
PAUSE_S = 0.002


def test_threads_do_not_wait_actively_after_a_run(tmp_path: Path) -> None:
    file = tmp_path / "mlp.onnx"
    write_mlp(file, inputs=784, inner=512)
    session = Session(file.read_bytes(), weights={}, threads=4)
    feeds = {"x": np.ones((64, 784), np.float32)}
    for _ in range(20):
        session.run(feeds, ["y"])
    burned = 0.0
    for _ in range(ROUNDS):
        session.run(feeds, ["y"])
        before = time.process_time()
        time.sleep(PAUSE_S)
        burned += time.process_time() - before
    # Three threads that spin through the pause would take up to three times its length.
    assert burned < ROUNDS * PAUSE_S * 0.25


def alternating(rounds: int = 8) -> bytes:
    """Return products, which all threads work on, each followed by running sums, which one does."""
    weight = numpy_helper.from_array(np.eye(256, dtype=np.float32), "w")
    axis = numpy_helper.from_array(np.array(1, np.int64), "axis")
    nodes, x = [], "x"
    for at in range(rounds):
        nodes.append(helper.make_node("MatMul", [x, "w"], [f"p{at}"]))
        nodes.append(helper.make_node("CumSum", [f"p{at}", "axis"], [f"s{at}"]))
        x = f"s{at}"
    shape = [2048, 256]
    graph = helper.make_graph(
        nodes,
        "alternating",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
        [weight, axis],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def test_threads_do_not_wait_actively_for_long_within_a_run() -> None:
    feeds = {"x": np.zeros((2048, 256), np.float32)}
    sessions = [Session(alternating(), weights={}, threads=threads) for threads in (1, 4)]
    taken = [0.0, 0.0]
    for turn in range(21):
        for which, session in enumerate(sessions):
            before = time.process_time()
            session.run_all(feeds)
            taken[which] += (time.process_time() - before) if turn else 0.0
    # Three threads that spin while one adds up would take four times as much on four cores, twice on two.
    assert taken[1] < 1.4 * taken[0]
