"""SIFT: the points of a picture that are found again in another view of the same thing, and what two share.

A program, not a graph: how many points there are depends on the picture. It needs no assets.

Rules kept here:

1. Pure: the answer depends on the request only.
2. A picture above `WORKING_PIXELS` is made smaller first, because SIFT needs some 230 bytes a pixel; all
   coordinates are answered in pixels of the picture as it was sent, turned upright.
3. At most `MAX_KEYPOINTS` points a picture, the strongest, so that every answer fits its 6 MB.

Axes: N points of the picture, M of the other one, P pairs. x runs right from the left edge, y down from
the upper edge, in pixels; (0, 0) is the middle of the first pixel.

Source: Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 60 (2004); OpenCV's
implementation of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from functions.sift.picture import grey_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Sift", "example", "load"]

type Array = np.ndarray[Any, Any]

# Ours, in pixels: 350 MB at work, about a second on one vCPU.
WORKING_PIXELS = 1_500_000
MAX_KEYPOINTS = 2000

# A pair counts if the second-best point is this much farther away. Source: Lowe, 7.1.
RATIO = 0.8

# How far an inlier may lie from where the homography puts it, in pixels of the other picture at work. Ours.
REPROJECTION = 3.0

# Numbers in a descriptor. Source: Lowe, 6.1: 4 x 4 histograms of 8 directions.
WIDTH = 128


def load(assets: Path) -> Sift:
    """Return the program; SIFT was never trained, so there is nothing in `assets`."""
    return Sift()


def example() -> dict[str, Array]:
    """Return a request with two pictures of noise, for a first run."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    picture = cv2.resize(noise, (128, 128), interpolation=cv2.INTER_CUBIC)
    file = np.array([cv2.imencode(".png", picture)[1].tobytes()], object)
    return {"image_file": file, "other_file": file}


class Sift:
    """Points, descriptors and pairs of pictures."""

    def __init__(self) -> None:
        self._sift = cv2.SIFT_create(nfeatures=MAX_KEYPOINTS)

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return what `model.yaml` declares.

        Args:
            inputs: `image_file`, object [1] of bytes, a PNG or JPEG; `other_file` likewise, or absent.

        Raises:
            UnreadableImageError: One is no PNG or JPEG, is broken, or they are too large together.
        """
        files = {f"{name}[0]": inputs[name][0] for name in ("image_file", "other_file") if name in inputs}
        pictures = grey_pictures(files)
        keypoints, descriptors, _ = self._points(pictures["image_file[0]"])
        other, other_descriptors, factor = _nothing()
        if "other_file[0]" in pictures:
            other, other_descriptors, factor = self._points(pictures["other_file[0]"])
        pairs = _pairs(descriptors, other_descriptors)
        homography, is_inlier = _homography(keypoints, other, pairs, REPROJECTION * factor)
        return {
            "keypoints": keypoints,
            "descriptors": descriptors,
            "other_keypoints": other,
            "pairs": pairs,
            "is_inlier": is_inlier,
            "inliers": np.array([is_inlier.sum()], np.int64),
            "homography": homography,
        }

    def _points(self, grey: Array) -> tuple[Array, Array, float]:
        """Return float32 [N, 4], float32 [N, 128] and how much smaller the picture was made."""
        factor = max(1.0, math.sqrt(grey.size / WORKING_PIXELS))
        if factor > 1:
            height, width = (max(1, round(side / factor)) for side in grey.shape)
            grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
        points, descriptors = self._sift.detectAndCompute(grey, None)
        if descriptors is None:
            return _nothing()
        # Beyond what it was asked for there may be points of equal strength.
        points, descriptors = points[:MAX_KEYPOINTS], descriptors[:MAX_KEYPOINTS]
        found = np.array([(*each.pt, each.size, each.angle) for each in points], np.float32)
        found[:, :2] = (found[:, :2] + 0.5) * factor - 0.5  # pixels are areas: their middles move too
        found[:, 2] *= factor
        return found, descriptors, factor


def _nothing() -> tuple[Array, Array, float]:
    return np.zeros((0, 4), np.float32), np.zeros((0, WIDTH), np.float32), 1.0


def _pairs(descriptors: Array, other: Array) -> Array:
    """Return int64 [P, 2]: indices of points that are alike and like no second one."""
    if not len(descriptors) or len(other) < 2:
        return np.zeros((0, 2), np.int64)
    found = cv2.BFMatcher(cv2.NORM_L2).knnMatch(descriptors, other, k=2)
    kept = [(best.queryIdx, best.trainIdx) for best, next_ in found if best.distance < RATIO * next_.distance]
    return np.array(kept, np.int64).reshape(-1, 2)


def _homography(points: Array, other: Array, pairs: Array, limit: float) -> tuple[Array, Array]:
    """Return float64 [1, 3, 3], or [0, 3, 3] where there is none, and which pairs it explains, bool [P]."""
    none = np.zeros((0, 3, 3)), np.zeros(len(pairs), bool)
    if len(pairs) < 4:
        return none
    start, end = points[pairs[:, 0], :2], other[pairs[:, 1], :2]
    matrix, mask = cv2.findHomography(start, end, cv2.RANSAC, limit)
    if matrix is None:
        return none
    return matrix[None], mask.ravel().astype(bool)
