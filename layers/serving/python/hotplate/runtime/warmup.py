"""A first run before the first request, so that no caller pays for lazy work inside the library.

Where a caller waits for init to end (on demand) his request is the first run: one before it would only
make him wait for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hotplate.errors import InferenceError

if TYPE_CHECKING:
    from hotplate.runtime.ledger import Ledger
    from hotplate.runtime.session import Session
    from hotplate.runtime.staged import StagedSession

__all__ = ["warm_up"]


def warm_up(session: Session | StagedSession, ledger: Ledger) -> None:
    """Run the graph once on zeros, every open dimension 1.

    A graph may refuse zeros (an index that must exist, a length that must be even). That is no
    fault of the model, so it is noted and not raised.
    """
    feeds = {
        name: np.full(tuple(1 if size < 0 else size for size in shape), b"" if dtype.hasobject else 0, dtype)
        for name, shape, dtype in session.inputs
    }
    try:
        session.run(feeds, session.output_names)
    except InferenceError as fault:
        ledger.note(f"not warmed up: {fault}")
