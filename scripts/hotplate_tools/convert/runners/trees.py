"""Decision trees of any framework in one form, and the rows that tell whether two of them are the same.

Rules kept here:

1. A value is a float32, because that is what a caller sends. A threshold of more digits is therefore
   kept as the largest float32 that still goes left: exact, where rounding to the nearest is not.
2. A tree comes out of a file, so it is walked before anything compiled follows its indices: children
   and features inside of their ranges, no node reached twice.
3. Rows at the splits: for a split, the path down to it is taken as bounds, and its feature is set just
   below, at and just above the threshold. Random rows hardly ever come there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["MAX_SPLITS", "Tree", "after", "before", "boundary_cases", "floor32", "walk"]

type Array = np.ndarray[Any, Any]

# Ours: three or four rows each, so a thousand rows, which a thousand trees answer in a second.
MAX_SPLITS = 256

# Two best scores closer than this are a draw, which float32 and float64 decide as they like.
DRAW = 1e-6


@dataclass(frozen=True, slots=True)
class Tree:
    """A binary tree as arrays over its nodes; node 0 is the root.

    Attributes:
        feature: int64 [nodes].
        edge: float32 [nodes]; the largest value of the feature that goes left.
        left, right: int64 [nodes]; negative in a leaf.
        missing_left: bool [nodes]; where NaN goes.
        value: float64 [nodes]; of leaves.
    """

    feature: Array
    edge: Array
    left: Array
    right: Array
    missing_left: Array
    value: Array


def floor32(thresholds: Array) -> Array:
    """Return the largest float32 that is not above each float64: `x <= both` holds for the same float32 x."""
    wide = np.asarray(thresholds, np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    return np.where(narrow > wide, before(narrow), narrow).astype(np.float32)


def after(values: Array) -> Array:
    """Return the next float32 above each."""
    return np.nextafter(values, np.float32(np.inf))


def before(values: Array) -> Array:
    """Return the next float32 below each."""
    return np.nextafter(values, np.float32(-np.inf))


def walk(left: Array, right: Array, feature: Array, features: int) -> list[Array]:
    """Return the nodes that are reached from node 0, one array a level.

    Args:
        left: int64 [nodes], as in `Tree`.
        right: As `left`.
        feature: As `left`.
        features: How many there are.

    Raises:
        ValueError: They are no tree.
    """
    count = len(left)
    if not count or len(right) != count or len(feature) != count:
        raise ValueError(f"a tree's arrays have {count}, {len(right)} and {len(feature)} nodes")
    if left.min() < -1:
        raise ValueError(f"a tree has a child {left.min()}")  # a leaf to some, an index to others
    seen = np.zeros(count, bool)
    level, found = np.zeros(1, np.int64), []
    while level.size:
        if level.min() < 0 or level.max() >= count:
            raise ValueError(
                f"a tree of {count} nodes has a child {level[(level < 0) | (level >= count)][0]}"
            )
        if seen[level].any() or len(np.unique(level)) != len(level):
            raise ValueError("a tree's node is reached twice")
        seen[level] = True
        found.append(level)
        inner = level[left[level] >= 0]
        asked = feature[inner]
        if asked.size and (asked.min() < 0 or asked.max() >= features):
            raise ValueError(f"a tree asks for feature {asked.max()}, and there are {features}")
        level = np.concatenate([left[inner], right[inner]])
    return found


def boundary_cases(trees: Sequence[Tree], features: int, scores: Any, *, missing: bool) -> dict[str, Array]:
    """Return rows at the splits of `trees` by what they are called: float32 [rows, features] each.

    Args:
        trees: Walked before.
        features: How many there are.
        scores: The framework: rows to scores [rows, classes], or None for what is no classifier.
            A row whose two best are a draw is left out.
        missing: Whether to make rows with NaN at the split, too.
    """
    generator = np.random.default_rng(0)
    places = [
        (tree, int(node))
        for tree in trees
        for node in np.flatnonzero((tree.left >= 0) & np.isfinite(tree.edge))
    ]
    chosen = [places[at] for at in generator.permutation(len(places))[:MAX_SPLITS]]
    if not chosen:
        return {}
    values = _values(trees, features)
    rows, holes = [], []
    for tree, node in chosen:
        start = np.array([generator.choice(near) for near in values], np.float32)
        row = _on_the_way_to(tree, node, start)
        edge, feature = tree.edge[node], tree.feature[node]
        for value in (before(edge), edge, after(edge)):
            rows.append(row.copy())
            rows[-1][feature] = value
        holes.append(row.copy())
        holes[-1][feature] = np.nan
    cases = {"at the splits": rows, **({"with a value missing": holes} if missing else {})}
    found = {}
    for name, made in cases.items():
        array = np.array(made)
        array = array[~np.isinf(array).any(axis=1)]
        array = _without_draws(array, scores)
        if len(array):
            found[f"{len(array)} rows {name}"] = array
    return found


def _values(trees: Sequence[Tree], features: int) -> list[Array]:
    """Return for each feature its edges and the values after them; noughts and ones where it has none."""
    near: list[list[Array]] = [[] for _ in range(features)]
    for tree in trees:
        inner = np.flatnonzero((tree.left >= 0) & np.isfinite(tree.edge))
        for feature in np.unique(tree.feature[inner]):
            near[feature].append(tree.edge[inner[tree.feature[inner] == feature]])
    plain = np.array([0, 1], np.float32)
    edges = [np.unique(np.concatenate(parts)) if parts else plain for parts in near]
    return [np.concatenate([part, after(part)]) for part in edges]


def _on_the_way_to(tree: Tree, node: int, row: Array) -> Array:
    """Return the row with the values moved that keep it from reaching `node`."""
    parents = np.full(len(tree.left), -1)
    inner = np.flatnonzero(tree.left >= 0)
    parents[tree.left[inner]] = parents[tree.right[inner]] = inner
    low, high = np.full_like(row, -np.inf), np.full_like(row, np.inf)
    while (parent := parents[node]) >= 0:
        feature, edge = tree.feature[parent], tree.edge[parent]
        if tree.left[parent] == node:
            high[feature] = min(high[feature], edge)
        else:
            low[feature] = max(low[feature], after(edge))
        node = int(parent)
    return np.clip(row, low, high)


def _without_draws(rows: Array, scores: Any) -> Array:
    if scores is None or not len(rows):
        return rows
    order = np.sort(scores(rows), axis=1)
    clear: Array = rows[order[:, -1] - order[:, -2] > DRAW]
    return clear
