"""What the imagenet model does around its graph: photographs to 224 by 224 pixels, logits to five names.

Rules kept here:

1. Pure; only NumPy is imported with the module, Pillow when the first file comes.
2. Files are opened by `hotplate.images`, which believes them in nothing.
3. A photograph is brought to the form in which the network was measured by those who trained it: the
   central square of 224 / 256 of the shorter side, scaled to 224 (bicubic), (x - 127) / 128, RGB.
4. The names come from the version's asset.

Axes: N images, 3 channels, H rows from the top, W columns from the left, 1,000 classes.

Source: tensorflow/tpu, models/official/efficientnet, `preprocessing.py` (`_decode_and_center_crop`, with
CROP_PADDING 32) and `lite/efficientnet_lite_builder.py` (MEAN_RGB 127, STDDEV_RGB 128).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import ShapeMismatchError, ValueRangeError
from hotplate.images import decode, open_all, upright
from hotplate.runtime.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL.ImageFile import ImageFile

    Array = np.ndarray[Any, Any]

__all__ = ["CLASSES", "MAX_FILES", "NAMES", "TOP", "transforms"]

NAMES = "names.json"
CLASSES = 1000

# Pixels, and grey levels of 255. Source: as in the module's docstring.
SIDE = 224
CROP_PADDING = 32
MEAN, SCALE = 127.0, 128.0

# How many names an image gets.
TOP = 5

# Files in a request. Ours: at some 60 ms each they are answered before API Gateway stops waiting, and
# activations are 20 MB each.
MAX_FILES = 32

# Beyond it no (x - 127) / 128 can be. Ours, with room for other roundings.
LARGEST = 1.01


def transforms(assets: Mapping[str, bytes]) -> Transforms:
    """Return the steps for a version.

    Args:
        assets: `NAMES`: a JSON list of the names of the 1,000 classes, in their order.

    Raises:
        LookupError, ValueError: The asset is not there, or not that.
    """
    names = json.loads(assets[NAMES])
    if (
        not isinstance(names, list)
        or len(names) != CLASSES
        or not all(isinstance(name, str) for name in names)
    ):
        raise ValueError(f"{NAMES}: a list of {CLASSES} names was expected")
    encoded = np.array([name.encode() for name in names], object)

    def postprocess(outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return `label`, `class` and `score`, [N, 5] each, the best first, and `probabilities`, [N, 1000].

        Args:
            outputs: The graph's only one, float32 [N, 1000], logits.
        """
        (logits,) = outputs.values()
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))  # (N, 1000)
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP].astype(np.int64)
        return {
            "label": encoded[best],
            "class": best,
            "score": np.take_along_axis(probabilities, best, axis=1),
            "probabilities": probabilities,
        }

    return Transforms(preprocess, postprocess)


def preprocess(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return what the graph is fed.

    Args:
        inputs: One of, validated for datatype and shape:
            `image`, float32 [N, 3, 224, 224], (x - 127) / 128 of grey levels 0 to 255, RGB;
            `image_file`, object [N] of bytes, each a PNG or JPEG of any size.

    Returns:
        `inputs`, float32 [N, 3, 224, 224] in -1..1.

    Raises:
        ValueRangeError: An element of `image` is NaN or none that a grey level can become.
        ShapeMismatchError: More than `MAX_FILES` files.
        UnreadableImageError: A file is no PNG or JPEG, is broken or too large.
    """
    if "image_file" not in inputs:
        return {"inputs": _in_range(inputs["image"])}
    files = inputs["image_file"]
    if len(files) > MAX_FILES:
        raise ShapeMismatchError(
            "image_file", expected=f"at most {MAX_FILES} files", received=str(len(files))
        )
    opened = open_all(files, "image_file")
    images = np.empty((len(files), 3, SIDE, SIDE), np.float32)  # (N, 3, H, W)
    for index, image in enumerate(opened):
        pixels = _square(image, f"image_file[{index}]")  # (H, W, 3)
        images[index] = (pixels.transpose(2, 0, 1).astype(np.float32) - MEAN) / SCALE
    return {"inputs": images}


def _in_range(image: Array) -> Array:
    # NaN fails the comparison, so one expression finds it too.
    right = np.abs(image) <= LARGEST
    if right.all():
        return image
    where = np.unravel_index(int(right.argmin()), image.shape)
    place = ", ".join(str(int(axis)) for axis in where)
    raise ValueRangeError(
        f"image[{place}]", expected="(x - 127) / 128 of a grey level 0 to 255", received=str(image[where])
    )


def _square(image: ImageFile, place: str) -> Array:
    """Return the middle of one picture, uint8 (224, 224, 3)."""
    from PIL.Image import Resampling

    page = upright(decode(image, "RGB", SIDE + CROP_PADDING, place), image)
    side = min(page.size) * SIDE / (SIDE + CROP_PADDING)
    left, top = (page.width - side) / 2, (page.height - side) / 2
    cut = page.resize((SIDE, SIDE), Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.asarray(cut)
