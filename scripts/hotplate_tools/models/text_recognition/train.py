"""PP-OCRv4's recogniser as its publisher trained it, with small ends: `hotplate train text-recognition`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from functions.ocr.model import NARROWEST, NOTHING, STRIP, decoded, letters_of
from hotplate_tools.models.ocr.drawing import accuracy, pages
from hotplate_tools.models.ocr.rapidocr import (
    RAPIDOCR,
    RECOGNISER,
    characters,
    end_to_end,
    network,
    with_grey_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "compare", "evaluate", "export", "golden", "prepare"]

DATA = (RAPIDOCR,)
NOTE = "weights as they come; measured on 60 drawn lines"
SEED = 0

# Pixels of paper around a line.
MARGIN = 3


def prepare(packages: Sequence[Path]) -> tuple[bytes, Arrays]:
    """Return the graph; held out: `pixels`, uint8 [n, 48, W], `text`, and the network's `characters`."""
    drawn = [(page.grey, line) for page in pages() for line in page.lines]
    strips = [_strip(grey, line.box) for grey, line in drawn]
    pixels = np.full(
        (len(strips), STRIP, max(NARROWEST, *(one.shape[1] for one in strips))), NOTHING, np.uint8
    )
    for row, strip in enumerate(strips):
        pixels[row, :, : strip.shape[1]] = strip
    held_out = {
        "pixels": pixels,
        "text": np.array([line.text for _, line in drawn]),
        "characters": np.frombuffer(characters(packages[0]), np.uint8),
    }
    return network(packages[0], RECOGNISER), held_out


def build(training: bytes) -> bytes:
    """Return the package's graph."""
    return training


def export(graph: bytes, training: bytes, held_out: Arrays, folder: Path) -> str:
    """Write the graph with the input `pixels` and, of each step, the best class and its probability."""
    import onnx
    from onnx import TensorProto, helper

    model = with_grey_bytes(graph, rows=STRIP)
    (origin,) = model.graph.output
    model.graph.node.append(helper.make_node("ArgMax", [origin.name], ["class"], axis=2, keepdims=0))
    model.graph.node.append(
        helper.make_node("ReduceMax", [origin.name], ["probability"], axes=[2], keepdims=0)
    )
    del model.graph.output[:]
    model.graph.output.extend(
        [
            helper.make_tensor_value_info("class", TensorProto.INT64, ["n", "t"]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", "t"]),
        ]
    )
    onnx.checker.check_model(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return "model.onnx"


def compare(graph: bytes, held_out: Arrays, folder: Path) -> dict[str, float]:
    """Return how far the graph is from the package's own, between NumPy's ends."""
    asked = [held_out["pixels"][:3], held_out["pixels"][20:21, :, :400]]

    def reduce(found: Array) -> list[Array]:
        return [found.argmax(axis=2), found.max(axis=2)]

    return {"off_from_package": end_to_end(graph, folder / "model.onnx", asked, reduce)}


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return the share of characters that are read."""
    letters = letters_of(held_out["characters"].tobytes())
    found = []
    for strip in held_out["pixels"]:
        answer = ask({"pixels": strip[None]})
        found.append(decoded(answer["class"][0], answer["probability"][0], letters)[0])
    return {"character_accuracy": accuracy(found, held_out["text"].tolist())}


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return the beginnings of two lines."""
    return [{"pixels": held_out["pixels"][[0, 5], :, :96]}, {"pixels": held_out["pixels"][40:41, :, :64]}]


def _strip(grey: Array, box: tuple[int, int, int, int]) -> Array:
    left, top, right, bottom = box
    cut = (left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN)
    width = round(STRIP * (cut[2] - cut[0]) / (cut[3] - cut[1]))
    return np.asarray(Image.fromarray(grey).resize((width, STRIP), Image.Resampling.BILINEAR, box=cut))
