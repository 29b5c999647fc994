"""A side of the bench of a GPU, in its own process, on a small network and a small language model."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

import hotplate_tools.bench.gpu_side
from hotplate_tools.bench.child import Child
from hotplate_tools.bench.graphs import write_mlp
from tests.support.tiny_llama import graph

if TYPE_CHECKING:
    from pathlib import Path


def asked(job: dict[str, Any], number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    with ExitStack() as stack:
        side = Child(
            stack, [sys.executable, hotplate_tools.bench.gpu_side.__file__, json.dumps({**job, "threads": 1})]
        )
        return side.said, side.ask(number)


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_a_graph_is_asked_for_rows_and_says_what_it_runs_on(tmp_path: Path, provider: str) -> None:
    write_mlp(tmp_path / "m.onnx", inputs=4, inner=8, outputs=3)
    job = {"kind": "graph", "path": str(tmp_path / "m.onnx"), "provider": provider}
    said, turn = asked(job, 5)
    # The ONNX Runtime of the tools has no CUDA, and says so; the bench ends then.
    assert said["providers"] == ["CPUExecutionProvider"]
    assert (len(turn["answer"]), turn["ms"] > 0) == (15, True)


def test_a_language_model_reads_a_prompt_and_goes_on(tmp_path: Path) -> None:
    body, weights = graph()
    (tmp_path / "model.onnx").write_bytes(body)
    (tmp_path / "model.onnx.data").write_bytes(weights)
    _, turn = asked({"kind": "text", "path": str(tmp_path), "provider": "cpu"}, 4)
    assert turn["first_ms"] > 0
    assert turn["ms"] > 0
    assert len(turn["answer"]) == 64
