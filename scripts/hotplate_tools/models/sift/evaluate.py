"""How `sift` is held against what is known: two views of a scene, and a picture of another.

`make.py` drew the second view from the first by `VIEW`, so it is known where every point must be found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.training.trainer import objects

if TYPE_CHECKING:
    from hotplate_tools.training.packages import Package
    from hotplate_tools.training.trainer import Array, Arrays, Ask

DATA: Sequence[Package] = ()
# Another processor may lose a few of the pairs. Those of the other scene come about by chance.
BARS: Mapping[str, float] = {"inliers_of_view": 200}

HERE = Path(__file__).parent
SIDE = 320
VIEW = ((0.769, -0.366, 95.0), (0.352, 0.78, -12.0), (2.2e-4, -1.2e-4, 1.0))


def prepare(packages: Sequence[Path]) -> tuple[Any, Arrays]:
    """Return (None, the pictures), BYTES [1] each: `scene`, `view` of it, and `other`."""
    names = ("scene", "view", "other")
    return None, {name: objects([(HERE / f"{name}.jpg").read_bytes()]) for name in names}


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return how many pairs a homography explains, and how far it is off at the corners, in pixels."""
    view = ask({"image_file": held_out["scene"], "other_file": held_out["view"]})
    other = ask({"image_file": held_out["scene"], "other_file": held_out["other"]})
    return {
        "inliers_of_view": int(view["inliers"][0]),
        "pairs_of_view": len(view["pairs"]),
        "corner_error_px": round(corner_error(view["homography"][0]), 2),
        "inliers_of_other": int(other["inliers"][0]),
    }


def golden(ask: Ask, held_out: Arrays) -> Sequence[Arrays]:
    """Return what is asked for the times."""
    return [{"image_file": held_out["scene"], "other_file": held_out["view"]}]


def corner_error(homography: Array) -> float:
    """Return how far the scene's corners are from where `VIEW` puts them, in pixels, the farthest."""
    corners = np.array([[0, 0, 1], [SIDE, 0, 1], [SIDE, SIDE, 1], [0, SIDE, 1]], float).T
    found, right = (matrix @ corners for matrix in (homography, np.array(VIEW)))
    return float(np.hypot(*(found[:2] / found[2] - right[:2] / right[2])).max())
