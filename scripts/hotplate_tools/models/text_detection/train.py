"""PP-OCRv4's detector as its publisher trained it, fed grey bytes: `hotplate train text-detection`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.models.ocr.drawing import pages
from hotplate_tools.models.ocr.rapidocr import DETECTOR, RAPIDOCR, end_to_end, network, with_grey_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "compare", "evaluate", "export", "golden", "prepare"]

DATA = (RAPIDOCR,)
NOTE = "weights as they come; measured on 15 drawn pages of 60 lines"
SEED = 0

MULTIPLE = 32
# Probability from which a pixel is text.
TEXT = 0.3
# Pixels around a line that belong to neither side.
BLUR = 8


def prepare(packages: Sequence[Path]) -> tuple[bytes, Arrays]:
    """Return the graph; held out: `pixels` and `truth` (1 text, 0 paper, 2 neither), uint8 [N, H, W]."""
    drawn = pages()
    height, width = (
        -(-max(page.grey.shape[axis] for page in drawn) // MULTIPLE) * MULTIPLE for axis in (0, 1)
    )
    pixels = np.full((len(drawn), height, width), 255, np.uint8)  # (N, H, W)
    truth = np.zeros_like(pixels)
    for row, page in enumerate(drawn):
        pixels[row, : page.grey.shape[0], : page.grey.shape[1]] = page.grey
        for _, (left, top, right, bottom) in page.lines:
            truth[row, top - BLUR : bottom + BLUR, left - BLUR : right + BLUR] = 2
        for _, (left, top, right, bottom) in page.lines:
            middle = (top + bottom) // 2
            truth[row, middle : middle + 1, left + BLUR : right - BLUR] = 1
    return network(packages[0], DETECTOR), {"pixels": pixels, "truth": truth}


def build(training: bytes) -> bytes:
    """Return the package's graph."""
    return training


def export(graph: bytes, training: bytes, held_out: Arrays, folder: Path) -> str:
    """Write the graph with the input `pixels` and its output as `map`."""
    import onnx
    from onnx import TensorProto, helper

    model = with_grey_bytes(graph, rows="h")
    (origin,) = model.graph.output
    model.graph.node.append(helper.make_node("Identity", [origin.name], ["map"]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", 1, "h", "w"]))
    onnx.checker.check_model(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return "model.onnx"


def compare(graph: bytes, held_out: Arrays, folder: Path) -> dict[str, float]:
    """Return how far the graph is from the package's own, between NumPy's ends."""
    asked = [held_out["pixels"][:1], held_out["pixels"][7:8, :320]]
    return {"off_from_package": end_to_end(graph, folder / "model.onnx", asked, lambda found: [found])}


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return the share of the lines' middles that is found, and of the paper that is left alone."""
    found, quiet = [], []
    for pixels, truth in zip(held_out["pixels"], held_out["truth"], strict=True):
        is_text = ask({"pixels": pixels[None]})["map"][0, 0] > TEXT
        found.append(is_text[truth == 1].mean())
        quiet.append(1 - is_text[truth == 0].mean())
    return {"text_found": float(np.mean(found)), "paper_quiet": float(np.mean(quiet))}


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return the middle of a line, and paper."""
    return [{"pixels": held_out["pixels"][:1, 32:64, :96]}, {"pixels": np.full((1, 32, 32), 255, np.uint8)}]
