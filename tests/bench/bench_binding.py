"""What `session.run` with arrays costs against IOBinding, for a graph that only adds one to its input.

Run it: `python -m tests.bench.bench_binding`. It prints medians of interleaved calls and their ratios. The
graph computes next to nothing, so what is left is the way in and out: `run` borrows the input and hands over
the memory of the output; a binding is built for each request, because each brings an array of its own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

ROUNDS = 300


def session(elements: int) -> ort.InferenceSession:
    """Return a session of `y = x + 1`, both FP32 of shape (N, elements)."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", elements]) for name in "xy")
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"])], "add", [x], [y], [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def ways(elements: int) -> dict[str, Callable[[], Any]]:
    """Return the ways to run it, each of which returns `y`."""
    found = session(elements)
    x = np.random.default_rng(0).random((1, elements), np.float32)  # (N, elements)
    kept = np.empty_like(x)

    def run() -> Any:
        return found.run(["y"], {"x": x})[0]

    def bound() -> Any:
        binding = found.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_output("y", "cpu")
        found.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]

    def preallocated() -> Any:
        binding = found.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_output("y", "cpu", 0, np.float32, kept.shape, kept.ctypes.data)
        found.run_with_iobinding(binding)
        return kept

    return {"run": run, "IOBinding": bound, "IOBinding, output preallocated": preallocated}


def compare(elements: int) -> None:
    """Print what one size costs in each way."""
    calls = ways(elements)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            started = time.perf_counter_ns()
            call()
            times[name].append((time.perf_counter_ns() - started) / 1000)
    base = statistics.median(times["run"])
    for name, seen in times.items():
        us = statistics.median(seen)
        print(f"{elements:>9} floats  {name:<30} {us:>8.1f} us  {us / base:>5.2f} of run")  # noqa: T201


if __name__ == "__main__":
    for size in (784, 150_528, 1_505_280):
        compare(size)
