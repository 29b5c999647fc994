"""What the digits model does around its graph: pictures to 28 by 28 pixels, probabilities to a digit.

Rules kept here:

1. Pure: arrays in, arrays out; nothing global is changed, Pillow's settings included.
2. Only NumPy is imported with the module. Pillow is imported when the first file comes, so callers
   who send pixels do not pay for it at a cold start.
3. Files are opened by `hotplate.images`, which believes them in nothing.
4. A picture is brought to the form in which the training data was made: grey, light ink on black,
   the longer side 20 pixels, the centre of mass at (14, 14) of 28 by 28 pixels.

Of a file with several frames the first is read. Even light is assumed: a shadow across the page is ink.
An empty page is refused, because any digit answered for it would be invented.

Axes: N images, H rows from the top, W columns from the left.

Source: LeCun, Cortes, Burges: "The MNIST database of handwritten digits" (how the images were made).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import UnreadableImageError, ValueRangeError
from hotplate.images import decode, open_all, upright

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL.ImageFile import ImageFile

    Array = np.ndarray[Any, Any]

__all__ = ["postprocess", "preprocess"]

# Geometry of the training data, in pixels. Source: as in the module's docstring.
FIELD = 28
DIGIT = 20
CENTRE = 14

# A picture whose longer side is at least twice this is averaged down towards it first, in pixels.
# Ours: grain and specks average away, and a digit that fills a seventh of the page keeps its 20 pixels.
WORKING_SIDE = 140

# The least difference between ink and paper, in grey levels of 255. Ours: pencil is above 60.
MIN_CONTRAST = 32

# What is fainter than this share of the darkest ink is paper. Ours: keeps paper grain out of the crop.
FAINT = 0.2

# What is less than this many times the paper's typical unevenness off it is paper too. Ours: six
# median deviations are four standard deviations of noise.
GRAIN = 6


def preprocess(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return what the graph is fed.

    Args:
        inputs: One of, validated for datatype and shape:
            `image`, float32 [N, 28, 28, 1], 0 is paper and 1 is ink;
            `image_file`, object [N] of bytes, each a PNG or JPEG of one digit, dark on light or
            light on dark, of any size, up to `MAX_IMAGE_PIXELS` in all.

    Returns:
        `image`, float32 [N, 28, 28, 1] in 0..1.

    Raises:
        ValueRangeError: An element of `image` is NaN or outside 0..1.
        UnreadableImageError: An element of `image_file` is no PNG or JPEG, is broken, too large or empty.
    """
    if "image_file" not in inputs:
        return {"image": _in_range(inputs["image"])}
    files = inputs["image_file"]
    # Every header before any pixel: a small file can stand for a large picture, and a request for many.
    opened = open_all(files, "image_file")
    pixels = np.empty((len(files), FIELD, FIELD, 1), np.float32)  # (N, H, W, 1)
    for index, image in enumerate(opened):
        pixels[index, :, :, 0] = _pixels(image, f"image_file[{index}]")
    return {"image": pixels}


def postprocess(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the graph's outputs and the most probable digit of each image.

    Args:
        outputs: `probabilities`, float32 [N, 10].

    Returns:
        `probabilities` as it came, and `digit`, int64 [N]; of equal probabilities the lower digit.
    """
    return {**outputs, "digit": outputs["probabilities"].argmax(axis=1).astype(np.int64)}


def _in_range(image: Array) -> Array:
    # NaN fails both comparisons, so one expression finds it too.
    right = (image >= 0) & (image <= 1)
    if right.all():
        return image
    where = np.unravel_index(int(right.argmin()), image.shape)
    place = ", ".join(str(int(axis)) for axis in where)
    raise ValueRangeError(
        f"image[{place}]",
        expected="0 (paper) to 1 (ink); divide grey levels by 255",
        received=str(image[where]),
    )


def _pixels(image: ImageFile, place: str) -> Array:
    """Return one picture as float32 (28, 28) in 0..1."""
    ink = _ink(_grey(image, place))
    if not ink.any():
        raise UnreadableImageError(
            place,
            expected=f"one digit, {MIN_CONTRAST} of 255 grey levels or more off its background",
            received="an empty page",
        )
    return _centred(_fitted(ink))


def _grey(image: ImageFile, place: str) -> Array:
    """Return the first frame upright, on white where it is transparent, as uint8 (H, W)."""
    page = decode(image, "L", WORKING_SIDE, place)
    factor = max(page.size) // WORKING_SIDE
    if factor > 1:
        page = page.reduce(factor)
    return np.asarray(upright(page, image))


def _ink(grey: Array) -> Array:
    """Return how much ink there is, uint8 (H, W), 0 for paper to 255 for the strongest; 0 where none."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = int(np.median(border))
    dark, light = paper - int(grey.min()), int(grey.max()) - paper
    contrast = max(dark, light)
    if contrast < MIN_CONTRAST:
        return np.zeros_like(grey)
    level = np.arange(256)
    amount = (paper - level if dark >= light else level - paper) / contrast
    # The median again, so that ink at the edges does not count as grain.
    grain = GRAIN * np.median(np.abs(border.astype(np.int16) - paper)) / contrast
    table = np.where(amount < max(FAINT, grain), 0, np.clip(amount, 0, 1)) * 255
    return table.astype(np.uint8)[grey]


def _fitted(ink: Array) -> Array:
    """Return the ink alone, its longer side `DIGIT` pixels, float32 (h, w) with a maximum of 1."""
    from PIL import Image

    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = DIGIT / max(crop.shape)
    height, width = (max(1, round(side * scale)) for side in crop.shape)
    small = np.asarray(Image.fromarray(crop).resize((width, height), Image.Resampling.BOX), np.float32)
    # A thin pen on a large page fades when it is made small; the training data is never faint.
    return np.asarray(small / small.max(), np.float32)


def _centred(digit: Array) -> Array:
    """Return the digit in the field, its centre of mass at `CENTRE` as far as it fits, float32 (28, 28)."""
    height, width = digit.shape
    mass = digit.sum()
    row = float(digit.sum(axis=1) @ np.arange(height) / mass)
    column = float(digit.sum(axis=0) @ np.arange(width) / mass)
    top = min(max(round(CENTRE - row), 0), FIELD - height)
    left = min(max(round(CENTRE - column), 0), FIELD - width)
    field = np.zeros((FIELD, FIELD), np.float32)
    field[top : top + height, left : left + width] = digit
    return field
