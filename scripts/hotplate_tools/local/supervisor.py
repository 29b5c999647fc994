"""A program that owns another and its folder: stops the one, removes the other when its own owner ends.

    python supervisor.py FOLDER COMMAND...

Standard input is the lifeline: it ends when the owner closes it or dies, by whatever signal. The
command gets a process group of its own, so that what it started dies with it, also when it was
killed itself. Nothing of it is worth keeping, so the grace is short.

Standard library only: it is run as a file, before anything else is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

GRACE_S = 2.0
REMOVAL_ATTEMPTS = 50


def supervise(folder: Path, command: list[str]) -> None:
    """Run `command` until it, or standard input, ends; then leave no process and no `folder`."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    # Told to end itself, it ends the command first: otherwise nobody would be left to.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: _signal(child.pid, signal.SIGKILL))
    threading.Thread(target=_stop_at_end_of_input, args=(child.pid,), daemon=True).start()
    # Not reaped yet, so its number, and with it its group's, cannot be another's.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    _signal(child.pid, signal.SIGKILL)
    child.wait()
    for _ in range(REMOVAL_ATTEMPTS):
        # A process that was just killed may still have been writing.
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _stop_at_end_of_input(group: int) -> None:
    sys.stdin.buffer.read()
    _signal(group, signal.SIGTERM)
    time.sleep(GRACE_S)
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), sys.argv[2:])
