"""ONNX Runtime's own optimiser, run once at publishing instead of at every cold start.

Rules kept:

1. A graph optimised as far as it goes is portable unless convolutions were laid out for this
   processor's vectors; then it is kept only as a native form, beside a portable one.
2. Weights beside the graph lie in one file, large tensors at the start of a page, so that a session
   can borrow them from a buffer or a mapped file.

Source: ONNX Runtime, "Graph optimizations", offline mode; session option keys
`session.optimized_model_external_initializers_file_name` and `..._min_size_in_bytes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import onnx
import onnxruntime as ort

from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Optimised", "is_native", "optimise_file"]

# Tensors below this stay inside of the graph, in bytes: shapes and scalars are wanted while loading.
MIN_OUTSIDE_BYTES = 1024

_LEVELS = {
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
# Where the optimiser puts what only one kind of processor can run.
_NATIVE_DOMAIN = "com.microsoft.nchwc"
_NATIVE_OPERATORS = {"NhwcFusedConv"}


@dataclass(frozen=True, slots=True)
class Optimised:
    """Files of an optimised graph; `weights` is None where they are inside."""

    graph: Path
    weights: Path | None


def optimise_file(
    source: Path, folder: Path, stem: str, *, level: Literal["all", "extended"], weights_outside: bool
) -> Optimised:
    """Write the optimised graph of `source` into `folder`.

    Args:
        source: The ONNX file, its external data beside it.
        folder: Exists; gets `<stem>.onnx` and, with weights outside, `<stem>.weights`.
        stem: Of the names, which the graph holds too.
        level: `all`, or `extended`, which leaves out what is made for one processor.
        weights_outside: Whether weights get a file of their own.

    Raises:
        FailedError: ONNX Runtime loads the graph but cannot write it.
    """
    graph, weights = folder / f"{stem}.onnx", folder / f"{stem}.weights"
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = _LEVELS[level]
    options.optimized_model_filepath = str(graph)
    # What is rearranged belongs to a processor and is done when the session is built.
    options.add_session_config_entry("session.disable_prepacking", "1")
    if weights_outside:
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", weights.name
        )
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", str(MIN_OUTSIDE_BYTES)
        )
    try:
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    except Exception as fault:  # the library's errors have no common base; all mean the same here
        raise FailedError(f"ONNX Runtime could not write {source.name} optimised: {fault}") from fault
    outside = weights_outside and weights.exists() and weights.stat().st_size > 0
    return Optimised(graph, weights if outside else None)


def is_native(graph: Path) -> bool:
    """Return whether an optimised graph runs on one kind of processor only."""
    model = onnx.load(str(graph), load_external_data=False)
    return any(
        node.domain == _NATIVE_DOMAIN or node.op_type in _NATIVE_OPERATORS for node in model.graph.node
    )
