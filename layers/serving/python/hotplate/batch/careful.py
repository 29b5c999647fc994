"""Whether work ends the process that does it: tried in a child, which may.

arro3's Rust ends the process where what is damaged makes it panic beneath the border to Python
(docs/adr/0027). A child costs a copy of the process's page tables and the work a second time, so it is made
only where a process has ended before.
"""

from __future__ import annotations

import os
import signal
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ends_its_process"]

# How a process ends whose work is at fault, and not who else wanted it to end.
_FATAL = frozenset({signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
# Longest that the child may take, in seconds. Ours: a chunk is decoded within one.
_LONGEST_S = 8


def ends_its_process(work: Callable[[], object]) -> bool:
    """Return whether `work` would end the process; what it raises or returns is not told.

    Args:
        work: Uses no lock, thread or connection of this process.
    """
    with warnings.catch_warnings():
        # Python warns of forks beside threads, whose locks stay held in the child: the work uses none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_LONGEST_S)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in _FATAL
