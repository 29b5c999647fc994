"""Pages of text, drawn and not fetched: what detector, recogniser and pipeline are measured on.

Pillow brings one font that scales, Aileron Regular; sizes, greys and places are what differs.

Axes: H rows from the top, W columns from the left.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, Any]

__all__ = ["LINES", "SIZES", "Drawn", "DrawnPage", "accuracy", "distance", "pages", "png"]

LINES = (
    "Invoice 2024-17  Total: $1,234.56",
    "Thank you for your order",
    "Delivery address: 12 Mill Lane, Oxford",
    "Order no. 88-1047 of 3 March 2025",
    "Quantity 3 pieces, 19.90 EUR each",
    "The quick brown fox jumps over the lazy dog",
    "Please pay within 30 days",
    "Phone +44 20 7946 0958",
    "VAT 20% included: 205.76",
    "support@example.org",
    "Package 7 of 9: handle with care",
    "Balance due on receipt",
)

# Heights of the font in pixels. Below 12 the letters are smudges.
SIZES = (14, 18, 24, 32, 40)
# Grey levels of ink and paper.
INKS = ((0, 255), (60, 255), (20, 225))
LINES_A_PAGE = 4
MARGIN = 24


class Drawn(NamedTuple):
    """A line as it was drawn: its text, and its ink's box, left, top, right, bottom in pixels."""

    text: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class DrawnPage:
    """A page, uint8 [H, W], and its lines from the top."""

    grey: Array
    lines: tuple[Drawn, ...]


def pages() -> list[DrawnPage]:
    """Return every size in every ink, each with other lines: 15 pages, 60 lines."""
    drawn: list[DrawnPage] = []
    for size in SIZES:
        for ink, paper in INKS:
            first = len(drawn) * LINES_A_PAGE
            texts = [LINES[(first + row) % len(LINES)] for row in range(LINES_A_PAGE)]
            drawn.append(_page(texts, size, ink, paper))
    return drawn


def png(grey: Array) -> bytes:
    """Return a page as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG", optimize=True)
    return out.getvalue()


def accuracy(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the share of characters that are right: 1 - edits / characters, over all texts together.

    White space counts as one space wherever it is, and not at the ends.
    """
    pairs = [
        (" ".join(one.split()), " ".join(other.split())) for one, other in zip(found, wanted, strict=True)
    ]
    edits = sum(distance(one, other) for one, other in pairs)
    return 1 - edits / sum(len(other) for _, other in pairs)


def distance(one: str, other: str) -> int:
    """Return the least number of characters inserted, removed or replaced to make one text of the other."""
    before = list(range(len(other) + 1))
    for row, left in enumerate(one, start=1):
        current = [row]
        for column, right in enumerate(other, start=1):
            replaced = before[column - 1] + (left != right)
            current.append(min(replaced, before[column] + 1, current[-1] + 1))
        before = current
    return before[-1]


def _page(texts: Sequence[str], size: int, ink: int, paper: int) -> DrawnPage:
    font = ImageFont.load_default(size)
    width = int(max(font.getlength(text) for text in texts)) + 2 * MARGIN
    page = Image.new("L", (width, 2 * MARGIN + len(texts) * size * 2), paper)
    pen = ImageDraw.Draw(page)
    lines = []
    for row, text in enumerate(texts):
        place = (MARGIN, MARGIN + row * size * 2)
        pen.text(place, text, fill=ink, font=font)
        left, top, right, bottom = pen.textbbox(place, text, font=font)
        lines.append(Drawn(text, (int(left), int(top), int(right), int(bottom))))
    return DrawnPage(np.asarray(page).copy(), tuple(lines))
