"""Decoded rows, on their way from a format's reader through the model to a format's writer."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.batch.report import MAX_NAME, RowError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from hotplate.batch.layout import Chunk

    Array = np.ndarray[Any, Any]

__all__ = ["Block", "Group", "groups_of", "others", "selected"]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of a block that can be asked together.

    Attributes:
        places: int64 [N], of each row in its block.
        inputs: By name, [N, ...].
    """

    places: Array
    inputs: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that were decoded together.

    Attributes:
        first_row: Number of the first.
        rows: How many there are, good and bad.
        groups: The good ones, in order.
        kept: What is kept of all of them, by column, in the form of the format's writer.
        rest: The chunk from this block on.
        errors: Of the bad ones.
        names: Of all of them, where rows have names.
    """

    first_row: int
    rows: int
    groups: list[Group]
    kept: list[Any]
    rest: Chunk
    errors: list[RowError] = field(default_factory=list)
    names: Sequence[str] = ()

    def error(self, place: int, reason: str, at: str, *, again: bool = False) -> RowError:
        """Return what is told of a row that is set aside, at which field, and whether to ask it again."""
        file = self.names[place][:MAX_NAME] if self.names else ""
        return RowError(self.first_row + place, reason, at, file, again)


def others(rows: int, bad: Collection[int]) -> Array:
    """Return the places of `rows` rows that are not among the bad, int64, ascending."""
    is_good = np.ones(rows, np.bool_)
    is_good[list(bad)] = False
    return np.flatnonzero(is_good)


def selected(inputs: dict[str, Any], good: Array) -> dict[str, Any]:
    """Return inputs, arrays or lists of them, of some of their rows."""
    return {
        name: each[good] if isinstance(each, np.ndarray) else [each[row] for row in good]
        for name, each in inputs.items()
    }


def groups_of(places: Array, inputs: dict[str, Array | Sequence[Array]]) -> list[Group]:
    """Return rows that follow each other and whose inputs have one shape as one group.

    Args:
        places: int64 [N], of the rows in their block.
        inputs: By name: an array [N, ...], or N arrays of any shapes.
    """
    if not len(places):
        return []
    uneven = [values for values in inputs.values() if not isinstance(values, np.ndarray)]
    shapes = [tuple(values[row].shape for values in uneven) for row in range(len(places))] if uneven else []
    edges = [0, *(row for row in range(1, len(shapes)) if shapes[row] != shapes[row - 1]), len(places)]
    return [
        Group(
            places[low:high],
            {
                name: values[low:high] if isinstance(values, np.ndarray) else np.stack(values[low:high])
                for name, values in inputs.items()
            },
        )
        for low, high in pairwise(edges)
    ]
