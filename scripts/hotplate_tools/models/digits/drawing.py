"""Held-out digits as the pictures people send: black ink on a white page, as PNG or JPEG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

__all__ = ["draw"]


def draw(image: Array, *, side: int, kind: Literal["PNG", "JPEG"]) -> bytes:
    """Return a grey picture, `side` pixels wide and high.

    Args:
        image: float32 [28, 28, 1], 0 is paper, 1 is ink.
        side: In pixels.
        kind: The file's format; JPEG has quality 80.
    """
    page = Image.fromarray(255 - np.rint(image[:, :, 0] * 255).astype(np.uint8))
    file = io.BytesIO()
    page.resize((side, side), Image.Resampling.BICUBIC).save(file, kind, optimize=True, quality=80)
    return file.getvalue()
