"""The next token, drawn from logits: by temperature and by the mass that is kept; the same for the same seed.

One uniform number a token, from the standard library's generator, whose numbers are the same on every machine
and version. Of equal logits the first is the most likely one.

Axes: V the vocabulary. Source: Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, Any]
    Choose = Callable[[Array], int]

__all__ = ["chooser"]

# How many of the most likely tokens are sorted first; only a flat distribution needs more.
_LIKELY = 256


def chooser(temperature: float, top_p: float, seed: int | None) -> Choose:
    """Return what takes logits, float32 [V], and gives the id of the next token.

    Args:
        temperature: 0 takes the most likely one always; 1 leaves the distribution as it is.
        top_p: Only the most likely tokens that have this mass together are drawn from; in (0, 1].
        seed: The same seed and logits give the same tokens; None draws from the system's randomness.
    """
    if temperature == 0:
        return lambda logits: int(logits.argmax())
    # Made here, in a request: a snapshot's environments would share one that was made at the load.
    uniform = random.Random(seed).random  # noqa: S311 - words, not secrets

    def choose(logits: Array) -> int:
        scaled = (logits - logits.max()).astype(np.float64) / temperature
        weights = np.exp(scaled)  # (V,)
        if top_p < 1:
            return _of_likely(weights, top_p, uniform())
        mass = np.cumsum(weights)
        return int(np.searchsorted(mass, uniform() * mass[-1], side="right").clip(max=len(mass) - 1))

    return choose


def _of_likely(weights: Array, top_p: float, drawn: float) -> int:
    total = weights.sum()
    count = min(_LIKELY, len(weights))
    order = np.argpartition(weights, -count)[-count:]
    if weights[order].sum() < top_p * total:
        order = np.arange(len(weights))
    # By weight, then by id: which of several equals argpartition leaves out is its own affair.
    order = order[np.lexsort((order, -weights[order]))]
    mass = np.cumsum(weights[order])
    kept = mass[: int(np.searchsorted(mass, top_p * total)) + 1]
    return int(order[min(int(np.searchsorted(kept, drawn * kept[-1], side="right")), len(kept) - 1)])
