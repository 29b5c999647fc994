"""Makes what `sift` is published and checked with: golden rows, two views of a scene, a picture of another.

    python -m hotplate_tools.models.sift.make astronaut.png coffee.png

Run where `functions/sift/requirements.txt` is installed. The two pictures are scikit-image's
(`skimage/data`): the astronaut is NASA's and in the public domain, the cup of coffee is CC0.

The second view is drawn from the first by a known perspective, so it is known where every point must be
found: rotated by 25 degrees, scaled to 0.85, tilted, darker, blurred, grainy, and a JPEG of another quality.

Golden rows are of drawn blobs, taken only if noise of one grey level changes no point: then what another
processor rounds otherwise does not either.
"""

from __future__ import annotations

import base64
import itertools
import json
import sys
from typing import Any

import cv2
import numpy as np

from functions.sift.model import Sift
from hotplate_tools.models.sift.evaluate import HERE, SIDE, VIEW, evaluate, prepare

type Array = np.ndarray[Any, Any]

TRIALS = 25


def main(scene_file: str, other_file: str) -> None:
    """Write everything and print the figures of `model.yaml`."""
    scene = _square(scene_file, top=0, left=100, side=400)
    other = _square(other_file, top=0, left=100, side=400)
    perspective = np.array(VIEW)
    view = cv2.warpPerspective(scene, perspective, (SIDE, SIDE), borderValue=127)
    grain = np.random.default_rng(1).normal(0, 4, view.shape)
    view = np.clip(cv2.GaussianBlur(view, (0, 0), 0.7) * 0.8 + grain, 0, 255).astype(np.uint8)
    pictures = {"scene": (scene, 85), "view": (view, 75), "other": (other, 85)}
    for name, (picture, quality) in pictures.items():
        (HERE / f"{name}.jpg").write_bytes(
            cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        )
    (HERE / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _golden()), "utf-8")
    print(evaluate(Sift().predict, prepare(())[1]))  # noqa: T201 - this is a program


def _square(file: str, *, top: int, left: int, side: int) -> Array:
    grey = cv2.imread(file, cv2.IMREAD_GRAYSCALE)
    assert grey is not None, file  # noqa: S101
    crop = grey[top : top + side, left : left + side]
    return np.asarray(cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def _ask(image: bytes, other: bytes | None = None) -> dict[str, Array]:
    files = {"image_file": image} | ({} if other is None else {"other_file": other})
    return Sift().predict({name: np.array([body], object) for name, body in files.items()})


def _golden() -> list[dict[str, Any]]:
    one = _png(next(each for each in map(_blobs, itertools.count()) if _is_steady(each)))
    alone, itself = _ask(one), _ask(one, one)
    matched = ("other_keypoints", "pairs", "is_inlier", "inliers")
    return [
        _row({"image_file": one}, {"keypoints": alone["keypoints"], "descriptors": alone["descriptors"]}),
        _row({"image_file": one, "other_file": one}, {name: itself[name] for name in matched}),
        _row(
            {"image_file": _png(np.zeros((8, 8), np.uint8))},
            {"pairs": np.zeros((0, 2)), "inliers": np.zeros(1, np.int64)},
        ),
    ]


def _blobs(seed: int) -> Array:
    """Return a picture of twelve soft blobs, longer than wide, with a bump at one end, uint8 [H, W]."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:160, :200].astype(np.float32)
    picture = np.full(x.shape, 110, np.float32)
    for row, column in itertools.product(range(3), range(4)):
        across = x - 25 - 50 * column - generator.uniform(-4, 4)
        down = y - 28 - 52 * row - generator.uniform(-4, 4)
        size, turn = generator.uniform(4, 7), generator.uniform(0, np.pi)
        ink = generator.choice([-1, 1]) * generator.uniform(70, 110)
        u = (across * np.cos(turn) + down * np.sin(turn)) / size
        v = (down * np.cos(turn) - across * np.sin(turn)) / (0.8 * size)
        picture += ink * np.exp(-(u**2) / 2 - v**2 / 2)
        picture += ink / 2 * np.exp(-((1.5 * (u - 2)) ** 2) / 2 - (1.5 * v) ** 2 / 2)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _is_steady(picture: Array) -> bool:
    answer = _ask(_png(picture))
    generator = np.random.default_rng(0)
    for _ in range(TRIALS):
        noisy = np.clip(picture + generator.integers(-1, 2, picture.shape), 0, 255).astype(np.uint8)
        again = _ask(_png(noisy), _png(noisy))
        same = again["keypoints"].shape == answer["keypoints"].shape
        if not (same and np.allclose(again["keypoints"], answer["keypoints"], atol=3)):
            return False
        if not (len(again["pairs"]) == len(answer["keypoints"]) and again["is_inlier"].all()):
            return False
    return True


def _png(picture: Array) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1].tobytes())


def _row(files: dict[str, bytes], answer: dict[str, Array]) -> dict[str, Any]:
    return {
        "inputs": {name: [{"b64": base64.b64encode(body).decode()}] for name, body in files.items()},
        "outputs": {name: array.tolist() for name, array in answer.items()},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
