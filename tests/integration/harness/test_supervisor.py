"""The supervisor of the local cloud: whatever ends it, neither the command nor the folder is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hotplate_tools.local import supervisor

# Writes its number, then starts a process of its own that must go with it.
COMMAND = "import os, subprocess, sys; print(os.getpid(), flush=True); subprocess.run(['sleep', '60'])"


def living(group: int) -> list[str]:
    """Return the processes of a group, those left out that only wait to be reaped."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, own_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if state != "Z" and int(own_group) == group:
            found.append(entry.name)
    return found


@pytest.mark.parametrize("how", ["end of input", signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=str)
def test_neither_command_nor_folder_is_left(tmp_path: Path, how: str | signal.Signals) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    program = [sys.executable, supervisor.__file__, str(folder), sys.executable, "-c", COMMAND]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        group = int(process.stdout.readline())
        if isinstance(how, signal.Signals):
            process.send_signal(how)
        else:
            process.stdin.close()
        process.wait(10)
    deadline = time.monotonic() + 5
    while living(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert living(group) == []
    assert not folder.exists()
