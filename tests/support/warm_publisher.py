"""A real `hotplate publish` process that can be killed, started in milliseconds instead of seconds.

Python's fork server imports the publisher once; each process is a fork of it that runs the command
line. Nothing of the test's process is inherited, and `kill` is a real SIGKILL.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

# Imported for the fork server: the commands import these rooms only when they run.
import hotplate_tools.publish.pipeline
import hotplate_tools.publish.registry  # noqa: F401
from hotplate_tools.cli import main

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__])


def start(arguments: Sequence[str], environment: Mapping[str, str], scratch: Path) -> ForkServerProcess:
    """Start `hotplate ARGUMENTS` with these variables added, and return its process.

    What it leaves when it is killed is left in `scratch`.
    """
    process = _SERVER.Process(target=_run, args=(list(arguments), dict(environment), scratch))
    process.start()
    return process


def _run(arguments: list[str], environment: dict[str, str], scratch: Path) -> None:
    os.environ.update(environment)
    os.environ.pop("AWS_PROFILE", None)
    tempfile.tempdir = str(scratch)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.argv = ["hotplate", *arguments]
    main()
