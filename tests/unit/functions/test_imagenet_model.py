"""What the imagenet model does around its graph, on pictures made here; no session."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base

from functions.imagenet.model import MAX_FILES, NAMES, preprocess, transforms
from hotplate.errors import ShapeMismatchError, UnreadableImageError, ValueRangeError

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

ASSETS = {NAMES: json.dumps([f"thing {index}" for index in range(1000)]).encode()}


def striped(width: int = 512, height: int = 256) -> Image.Image:
    """A page that is green in the middle square, red at its left, blue at its right."""
    page = np.zeros((height, width, 3), np.uint8)
    margin = (width - height) // 2
    page[:, :margin, 0], page[:, margin : width - margin, 1], page[:, width - margin :, 2] = 255, 255, 255
    return Image.fromarray(page)


def saved(page: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    page.save(file, kind, **options)
    return file.getvalue()


def read(*files: bytes) -> Array:
    return preprocess({"image_file": np.array([*files, None], object)[:-1]})["inputs"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("turned", [False, True])
def test_middle_is_taken_and_scaled(kind: str, turned: bool) -> None:
    page = striped().transpose(Image.Transpose.ROTATE_90) if turned else striped()
    (pixels,) = read(saved(page, kind))
    assert (pixels.shape, pixels.dtype) == ((3, 224, 224), np.float32)
    # Green alone: red and blue lie outside of the square.
    np.testing.assert_allclose(pixels[1], 1, atol=0.05)
    np.testing.assert_allclose(pixels[[0, 2]], -127 / 128, atol=0.05)


def test_square_is_seven_eighths_of_the_shorter_side() -> None:
    page = np.zeros((256, 256), np.uint8)
    page[16:-16, 16:-16] = 255
    (pixels,) = read(saved(Image.fromarray(page)))
    np.testing.assert_allclose(pixels, 1, atol=1e-6)


def test_grey_level_127_is_zero_and_turning_and_transparency_are_heeded() -> None:
    (pixels,) = read(saved(Image.new("L", (300, 300), 127)))
    assert not pixels.any()
    exif = Image.Exif()
    exif[Base.Orientation] = 3
    half = Image.new("L", (256, 256))
    half.paste(255, (0, 0, 256, 128))
    (upside_down,) = read(saved(half, "JPEG", exif=exif))
    assert upside_down[:, 0].max() < 0 < upside_down[:, -1].min()
    (clear,) = read(saved(Image.new("RGBA", (256, 256), (0, 0, 0, 0))))
    np.testing.assert_allclose(clear, 1, atol=1e-6)


def test_tiny_picture_is_scaled_up() -> None:
    assert read(saved(Image.new("RGB", (1, 1), "red"))).shape == (1, 3, 224, 224)


def test_five_best_are_named_and_the_lower_of_equals_comes_first() -> None:
    logits = np.zeros((2, 1000), np.float32)
    logits[0, [7, 3]] = 5, 9
    found = transforms(ASSETS).postprocess({"anything": logits})
    assert found["class"].tolist() == [[3, 7, 0, 1, 2], [0, 1, 2, 3, 4]]
    assert found["label"][0, :2].tolist() == [b"thing 3", b"thing 7"]
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found["score"][0, 0], found["probabilities"][0, 3])
    assert {name: array.dtype for name, array in found.items()} == {
        "label": object, "class": np.int64, "score": np.float32, "probabilities": np.float32,
    }  # fmt: skip


def test_large_logits_do_not_overflow_and_no_rows_give_none() -> None:
    steps = transforms(ASSETS)
    assert np.isfinite(steps.postprocess({"x": np.full((1, 1000), 1e4, np.float32)})["score"]).all()
    assert steps.postprocess({"x": np.zeros((0, 1000), np.float32)})["label"].shape == (0, 5)


def test_what_is_no_picture_or_too_many_is_refused() -> None:
    with pytest.raises(UnreadableImageError, match=r"image_file\[1\]"):
        read(saved(striped()), b"GIF89a")
    with pytest.raises(ShapeMismatchError, match=f"at most {MAX_FILES} files"):
        read(*[b""] * (MAX_FILES + 1))


@pytest.mark.parametrize("value", [np.nan, 127.0, -1.5])
def test_pixel_that_was_not_scaled_is_named(value: float) -> None:
    image = np.zeros((1, 3, 224, 224), np.float32)
    image[0, 2, 5, 6] = value
    with pytest.raises(ValueRangeError, match=r"image\[0, 2, 5, 6\]: expected \(x - 127\) / 128"):
        preprocess({"image": image})


def test_names_have_to_be_a_thousand() -> None:
    with pytest.raises(ValueError, match="a list of 1000 names was expected"):
        transforms({NAMES: b'["cat"]'})


def test_pillow_is_not_imported_with_the_module() -> None:
    program = "import sys, functions.imagenet.model; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
