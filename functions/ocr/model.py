"""What the ocr pipeline does between its models: a picture to a page, a map to boxes, classes to letters.

Rules kept here:

1. Pure; only NumPy is imported with the module, Pillow when the first file comes.
2. The file is opened by `hotplate.images`, which believes it in nothing.
3. Boxes upright to the page only: a line that leans by more than a few degrees is cut off.
4. Everything that travels to a model is grey and of one byte a pixel, so that a request to a model of its
   own stays within what Lambda takes.

Axes: H rows from the top, W columns from the left, n lines, T steps along a strip.

Source: PaddleOCR, `ppocr/postprocess/db_postprocess.py` (thresholds, unclipping) and `rec_postprocess.py`
(CTC decoding); figures as in `config.yaml` of rapidocr-onnxruntime 1.4.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import ShapeMismatchError
from hotplate.images import decode, open_all, upright

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Array = np.ndarray[Any, Any]
    Arrays = Mapping[str, Array]

__all__ = [
    "CHARACTERS",
    "MAX_LINES",
    "MAX_SIDE",
    "NARROWEST",
    "NOTHING",
    "STRIP",
    "boxes",
    "decoded",
    "letters_of",
    "lines",
    "page",
    "steps",
    "strips",
]

CHARACTERS = "characters.txt"

# Pixels. The detector is fed at most this, in multiples of what it halves five times. Ours: 960 by 960
# bytes in and four times as many out fit a call.
MAX_SIDE, MULTIPLE = 960, 32
# A white rim, so that text at the edge of a picture is found as any other. Ours.
RIM = 16

# Probability from which a pixel is text, a box is kept, a line is kept. Source: as of the module.
TEXT, BOX, LINE = 0.3, 0.5, 0.5
# A box grows by area * UNCLIP / perimeter on each side: the network was taught shrunk ones. Source: as above.
UNCLIP = 1.6
# Pixels of the map that a box has at least on each side. Source: as above (`min_size`).
SMALLEST = 3

# Pixels: height of a strip, its least and its largest width. Source: as above; the last is ours.
STRIP, NARROWEST, WIDEST = 48, 320, 1600
# Grey that is nothing to the network, (x / 255 - 0.5) / 0.5 = 0.
NOTHING = 128
# Lines in a request, and pixels of their strips together: they fit a call. Ours.
MAX_LINES, MAX_STRIP_PIXELS = 128, 4_000_000


def steps(assets: Mapping[str, bytes]) -> dict[str, Callable[[Arrays], Arrays]]:
    """Return the code steps that `model.yaml` names.

    Args:
        assets: `CHARACTERS`: a line for each character that the recogniser knows, in its order.

    Raises:
        LookupError, ValueError: The asset is not there, or not that.
    """
    letters = letters_of(assets[CHARACTERS])
    return {"page": page, "strips": strips, "lines": lambda inputs: lines(inputs, letters)}


def letters_of(characters: bytes) -> tuple[str, ...]:
    """Return the letters by class: the blank between two characters first, the space last.

    Args:
        characters: UTF-8, a character a line.

    Raises:
        ValueError: They are not that.
    """
    known = characters.decode().split("\n")
    if len(known) < 2 or not all(known[:-1]) or known[-1]:
        raise ValueError(f"{CHARACTERS}: a character a line was expected")
    return ("", *known[:-1], " ")


def page(inputs: Arrays) -> dict[str, Array]:
    """Return the picture in grey, and as the detector takes it.

    Args:
        inputs: `image_file`, object [1] of bytes, a PNG or JPEG.

    Returns:
        `grey`, uint8 [H, W]; `pixels`, uint8 [1, H', W'], the same with a rim, its sides multiples of 32
        and at most 960; `scale`, float32 [2], pixels of `pixels` in one of `grey`, across and down.

    Raises:
        UnreadableImageError: It is no PNG or JPEG, is broken or too large.
    """
    from PIL import Image

    (image,) = open_all(inputs["image_file"], "image_file")
    picture = upright(decode(image, "L", MAX_SIDE, "image_file[0]"), image)
    shrink = min(1.0, (MAX_SIDE - 2 * RIM) / max(picture.size))
    width, height = (max(1, round(side * shrink)) for side in picture.size)
    small = picture.resize((width, height), Image.Resampling.BILINEAR) if shrink < 1 else picture
    sides = [-(-(side + 2 * RIM) // MULTIPLE) * MULTIPLE for side in (height, width)]
    pixels = np.full((1, *sides), 255, np.uint8)  # (1, H', W')
    pixels[0, RIM : RIM + height, RIM : RIM + width] = np.asarray(small)
    scale = np.array([width / picture.width, height / picture.height], np.float32)
    return {"grey": np.asarray(picture), "pixels": pixels, "scale": scale}


def strips(inputs: Arrays) -> dict[str, Array]:
    """Return the lines that the detector found, cut out.

    Args:
        inputs: `map`, float32 [1, 1, H', W'], probability of text; `grey` and `scale` as of `page`.

    Returns:
        `box`, float32 [n, 4], left, top, right, bottom in pixels of `grey`, in the order of reading;
        `pixels`, uint8 [n, 48, W], each line scaled to the height and filled up to the longest.

    Raises:
        ShapeMismatchError: More text than a request may hold.
    """
    from PIL import Image

    grey, scale = inputs["grey"], np.tile(inputs["scale"], 2)  # (H, W), (4)
    height, width = grey.shape
    found = (boxes(inputs["map"][0, 0]) - RIM) / scale  # (n, 4)
    found = np.clip(found, 0, [width, height, width, height])
    found = found[(found[:, 2] - found[:, 0] >= 1) & (found[:, 3] - found[:, 1] >= 1)]
    found = found[_reading_order(found)].astype(np.float32)
    widths = [min(WIDEST, max(1, round(STRIP * (box[2] - box[0]) / (box[3] - box[1])))) for box in found]
    widest = max([NARROWEST, *widths])
    if len(found) > MAX_LINES or len(found) * STRIP * widest > MAX_STRIP_PIXELS:
        raise ShapeMismatchError(
            "image_file[0]",
            expected=f"at most {min(MAX_LINES, MAX_STRIP_PIXELS // (STRIP * widest))} lines of this length",
            received=f"{len(found)} lines",
        )
    if not len(found):
        # The recogniser takes no empty batch; a strip of nothing says nothing, and `lines` leaves it out.
        nothing = np.full((1, STRIP, NARROWEST), NOTHING, np.uint8)
        return {"box": np.zeros((1, 4), np.float32), "pixels": nothing}
    whole = Image.fromarray(grey)
    pixels = np.full((len(found), STRIP, widest), NOTHING, np.uint8)  # (n, 48, W)
    for row, (box, across) in enumerate(zip(found, widths, strict=True)):
        cut = whole.resize((across, STRIP), Image.Resampling.BILINEAR, box=tuple(box.tolist()))
        pixels[row, :, :across] = np.asarray(cut)
    return {"box": found, "pixels": pixels}


def lines(inputs: Arrays, letters: tuple[str, ...]) -> dict[str, Array]:
    """Return what the lines say, without those that say nothing clearly.

    Args:
        inputs: `class`, int64 [n, T], and `probability`, float32 [n, T], of each step's best character; `box`
            as of `strips`.
        letters: By class.

    Returns:
        `text`, object [m] of bytes, UTF-8; `box`, float32 [m, 4]; `score`, float32 [m], the mean probability
        of the characters.
    """
    texts, scores = [], []
    for classes, probabilities in zip(inputs["class"], inputs["probability"], strict=True):
        said, mean = decoded(classes, probabilities, letters)
        texts.append(said.encode())
        scores.append(mean)
    score = np.array(scores, np.float32)
    kept = np.flatnonzero(score >= LINE)
    text = np.empty(len(kept), object)
    text[:] = [texts[row] for row in kept]
    return {"text": text, "box": inputs["box"][kept], "score": score[kept]}


def decoded(classes: Array, probabilities: Array, letters: tuple[str, ...]) -> tuple[str, float]:
    """Return the text of one strip by CTC's rule (repeats are one, blanks none), and its mean probability.

    Args:
        classes: int64 [T].
        probabilities: float32 [T].
        letters: By class.
    """
    changed = np.diff(classes, prepend=-1) != 0
    kept = np.flatnonzero(changed & (classes != 0))
    text = "".join(letters[index] for index in classes[kept])
    said = text.strip()
    return said, float(probabilities[kept].mean()) if said else 0.0


def boxes(probability: Array) -> Array:
    """Return the boxes of text on a map, float32 [n, 4]: left, top, right, bottom, grown to whole letters.

    Args:
        probability: float32 [H, W].
    """
    found = []
    for left, top, right, bottom in _regions(probability > TEXT):
        width, height = right - left, bottom - top
        if min(width, height) < SMALLEST or probability[top:bottom, left:right].mean() < BOX:
            continue
        grow = width * height * UNCLIP / (2 * (width + height))
        found.append((left - grow, top - grow, right + grow, bottom + grow))
    return np.array(found, np.float32).reshape(-1, 4)


def _regions(mask: Array) -> list[tuple[int, int, int, int]]:
    """Return the bounding boxes of a mask's connected parts (corners connect), in no order.

    Row by row: the runs of a row are joined with those above that they touch.
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)  # (H, W + 1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    first = np.searchsorted(rows, np.arange(mask.shape[0] + 1))
    for row in range(1, mask.shape[0]):
        above, below = first[row - 1], first[row]
        while above < first[row] and below < first[row + 1]:
            if starts[above] <= ends[below] and starts[below] <= ends[above]:
                parent[root(int(below))] = root(int(above))
            if ends[above] < ends[below]:
                above += 1
            else:
                below += 1
    found: dict[int, tuple[int, int, int, int]] = {}
    for run, (row, start, end) in enumerate(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)):
        left, top, right, bottom = found.get(root(run), (start, row, end, row + 1))
        found[root(run)] = (min(left, start), min(top, row), max(right, end), max(bottom, row + 1))
    return list(found.values())


def _reading_order(found: Array) -> list[int]:
    """Return rows of `found` from the top, and from the left among those whose middles share a line."""
    middle = (found[:, 1] + found[:, 3]) / 2
    order: list[list[int]] = []
    for row in np.argsort(middle, kind="stable").tolist():
        last = order[-1][0] if order else None
        if last is not None and middle[row] < found[last, 3] and middle[last] > found[row, 1]:
            order[-1].append(row)
        else:
            order.append([row])
    return [row for line in order for row in sorted(line, key=lambda one: float(found[one, 0]))]
