"""The package that the networks are in, and their ends made fit for calls: grey bytes in, small answers out.

As they come, the networks take normalised floats of three equal channels and the recogniser answers 6,625
probabilities a step: twelve bytes for a pixel's one and tens of megabytes for a page, which no call to a
function carries. The new ends are nodes of ONNX and change no answer; `end_to_end` proves it at every build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.failures import FailedError
from hotplate_tools.training.packages import Package, read_member

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx

    Array = np.ndarray[Any, Any]

__all__ = ["DETECTOR", "RAPIDOCR", "RECOGNISER", "characters", "end_to_end", "network", "with_grey_bytes"]

RAPIDOCR = Package(
    "pypi",
    "rapidocr-onnxruntime",
    "1.4.4",
    "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
    "rapidocr_onnxruntime-1.4.4-py3-none-any.whl",
)

DETECTOR = "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"
RECOGNISER = "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"

# Operator set from which Unsqueeze takes its axes as an input. Source: ONNX, "Operator Changelog".
AXES_ARE_AN_INPUT = 13

# The rounding of another order of the same sums.
TOLERANCE = 1e-4


def network(package: Path, member: str) -> bytes:
    """Return one of the package's graphs."""
    return read_member(package, member)


def characters(package: Path) -> bytes:
    """Return the recogniser's characters, one a line, in the order of its classes; they are in its metadata.

    Raises:
        FailedError: They are not there.
    """
    import onnxruntime

    graph = network(package, RECOGNISER)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    known = session.get_modelmeta().custom_metadata_map.get("character", "").splitlines()
    if not known:
        raise FailedError("the recogniser has no metadata `character`")
    return ("\n".join(known) + "\n").encode()


def with_grey_bytes(graph: bytes, *, rows: str | int) -> onnx.ModelProto:
    """Return the graph with an input `pixels`, UINT8 [N, rows, W], grey, for its `x`, FP32 [N, 3, H, W].

    Args:
        graph: One that takes (level / 255 - 0.5) / 0.5.
        rows: Their number, or a name for any.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(graph)
    (origin,) = model.graph.input
    constants: dict[str, Array] = {
        "hotplate_scale": np.array(127.5, np.float32),
        "hotplate_one": np.array(1, np.float32),
    }
    if _opset(model) >= AXES_ARE_AN_INPUT:
        constants["hotplate_axis"] = np.array([1], np.int64)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    nodes = [
        helper.make_node("Cast", ["pixels"], ["hotplate_level"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["hotplate_level", "hotplate_scale"], ["hotplate_ratio"]),
        helper.make_node("Sub", ["hotplate_ratio", "hotplate_one"], ["hotplate_plane"]),
        _unsqueeze(model),
        helper.make_node("Concat", ["hotplate_grey"] * 3, [origin.name], axis=1),
    ]
    kept = list(model.graph.node)
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend([*nodes, *kept])
    model.graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", rows, "w"]))
    return model


def _unsqueeze(model: onnx.ModelProto) -> onnx.NodeProto:
    from onnx import helper

    if _opset(model) < AXES_ARE_AN_INPUT:
        return helper.make_node("Unsqueeze", ["hotplate_plane"], ["hotplate_grey"], axes=[1])
    return helper.make_node("Unsqueeze", ["hotplate_plane", "hotplate_axis"], ["hotplate_grey"])


def _opset(model: onnx.ModelProto) -> int:
    return int(next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx")))


def end_to_end(
    original: bytes, made: Path, pages: list[Array], reduce: Callable[[Array], list[Array]]
) -> float:
    """Return the largest difference of the graph with its new ends from the original between NumPy's.

    Args:
        original: The graph as it comes.
        made: The graph with new ends.
        pages: uint8 [N, H, W] each.
        reduce: What the new end makes of the original's output.

    Raises:
        FailedError: It is more than rounding.
    """
    import onnxruntime

    cpu = ["CPUExecutionProvider"]
    old = onnxruntime.InferenceSession(original, providers=cpu)
    new = onnxruntime.InferenceSession(made, providers=cpu)
    largest = 0.0
    for pixels in pages:
        plane = (pixels.astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)
        (answer,) = old.run(None, {"x": np.repeat(plane[:, None], 3, axis=1)})
        for wanted, got in zip(reduce(answer), new.run(None, {"pixels": pixels}), strict=True):
            largest = max(largest, float(np.abs(got - wanted).max(initial=0)))
    if largest > TOLERANCE:
        raise FailedError(f"the new ends change answers by {largest:g}, more than {TOLERANCE:g}")
    return largest
