"""Lambda SnapStart: what is made anew in each environment that is restored from the one snapshot.

Rules kept: the snapshot holds no connection and no credentials, because every read opens its own and ends
them (`hotplate.wiring`), and no process but this one, because the child that fetches is ended when it has
reported; random numbers begin anew in each environment; nothing is answered before what was
restored was compared with what is pinned.

Source: AWS Lambda developer guide, "Handling uniqueness with Lambda SnapStart"; snapshot-restore-py.
"""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["after_restore"]


def after_restore(check: Callable[[], None]) -> None:
    """Have seeds renewed and `check` called in every environment that is restored.

    Args:
        check: What it raises ends the environment before it answers anything.
    """
    # Part of Lambda's Python runtime, and imported where it is needed alone.
    from snapshot_restore_py import register_after_restore

    register_after_restore(_renew_seeds)
    register_after_restore(check)


def _renew_seeds() -> None:
    random.seed()
    if numbers := sys.modules.get("numpy.random"):
        numbers.seed()
