"""A session's threads rest between requests: what they burn is taken from the client that answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

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
