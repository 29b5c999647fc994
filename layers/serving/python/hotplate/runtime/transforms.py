"""What a function puts around its graph: three pure steps, made once from the version's own assets.

Only NumPy stands behind this module, and only in its types, so that a trainer can use a function's
steps in an environment that holds nothing of the serving path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]
    Run = Callable[[Arrays], Arrays]
    MakeTransforms = Callable[[Mapping[str, bytes]], "Transforms"]

__all__ = ["Transforms"]


class Transforms(NamedTuple):
    """What a function puts around its graph. All are pure; none knows where it runs.

    A function whose steps need assets (a vocabulary, a scaler) has `transforms(assets)` instead, which
    takes the version's assets by path, verified, and returns this; it is called once, at the load.

    Attributes:
        preprocess: Validated inputs by public name → the graph's feeds. Raises `RequestError`s.
        postprocess: The graph's outputs → outputs by public name.
        rollout: Feeds and the graph → what `postprocess` takes, for a graph that one request runs
            several times, each on what came before; None runs it once.
    """

    preprocess: Callable[[Arrays], Arrays]
    postprocess: Callable[[Arrays], Arrays]
    rollout: Callable[[Arrays, Run], Arrays] | None = None

    def apply(self, inputs: Arrays, run: Run) -> Arrays:
        """Return the outputs by public name.

        Args:
            inputs: Validated, by public name.
            run: The graph: feeds → all of its outputs.

        Raises:
            RequestError: Preprocessing found the values unfit.
        """
        feeds = self.preprocess(inputs)
        return self.postprocess(self.rollout(feeds, run) if self.rollout else run(feeds))
