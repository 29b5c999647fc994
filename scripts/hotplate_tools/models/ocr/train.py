"""The ocr pipeline held against drawn pages, its assets and golden rows written: `hotplate train ocr`.

Nothing is trained: its members are models of their own, which are built first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from functions.ocr.model import CHARACTERS
from hotplate_tools.failures import FailedError
from hotplate_tools.models.ocr.drawing import accuracy, pages, png
from hotplate_tools.models.ocr.rapidocr import RAPIDOCR, characters
from hotplate_tools.training.trainer import objects

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hotplate_tools.training.trainer import Arrays, Ask

__all__ = ["DATA", "NOTE", "SEED", "build", "evaluate", "export", "golden", "prepare"]

DATA = (RAPIDOCR,)
NOTE = "characters of the recogniser; measured on 15 drawn pages of 60 lines"
SEED = 0


def prepare(packages: Sequence[Path]) -> tuple[dict[str, bytes], Arrays]:
    """Return the assets; held out: `image_file`, object [N] of PNG files, and `text`, a line a line."""
    drawn = pages()
    held_out = {
        "image_file": objects(png(page.grey) for page in drawn),
        "text": np.array(["\n".join(line.text for line in page.lines) for page in drawn]),
    }
    return {CHARACTERS: characters(packages[0])}, held_out


def build(training: dict[str, bytes]) -> None:
    """Say that there is nothing to build.

    Raises:
        FailedError: Always.
    """
    raise FailedError("a pipeline has no network of its own")


def export(network: None, training: dict[str, bytes], held_out: Arrays, folder: Path) -> str:
    """Say that there is nothing to export.

    Raises:
        FailedError: Always.
    """
    raise FailedError("a pipeline has no network of its own")


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return the share of characters that are read, and of pages with as many lines as were drawn."""
    found, wanted, counted = [], [], []
    for file, text in zip(held_out["image_file"], held_out["text"].tolist(), strict=True):
        lines = [line.decode() for line in ask({"image_file": objects([file])})["text"]]
        found.append(" ".join(lines))
        wanted.append(text)
        counted.append(len(lines) == text.count("\n") + 1)
    return {"character_accuracy": accuracy(found, wanted), "pages_with_all_lines": float(np.mean(counted))}


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return a page, and paper without a word."""
    blank = png(np.full((40, 60), 255, np.uint8))
    return [{"image_file": held_out["image_file"][:1]}, {"image_file": objects([blank])}]
