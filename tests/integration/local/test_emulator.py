"""What the local cloud is given beyond its own, in the environment that it lives in."""

from __future__ import annotations

import json
import subprocess

from hotplate_tools.console import Console
from hotplate_tools.environments import ensure
from hotplate_tools.project import project_root

BATCHES = """
import json, sys, threading, time
sys.path.insert(0, sys.argv[1])
import emulator
emulator.BATCH_S = 0.2
calls, done = [], threading.Semaphore(0)
def own(group, stream, events):
    calls.append((group, events))
    done.release()
collect = emulator.in_batches(own)
def burst(first):
    threads = [threading.Thread(target=collect, args=("a", str(i), [i])) for i in range(first, first + 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    collect("b", "s", [first])
burst(0)
assert done.acquire(timeout=5) and done.acquire(timeout=5)
burst(50)
assert done.acquire(timeout=5) and done.acquire(timeout=5)
print(json.dumps(calls))
"""


def test_lines_of_a_log_are_delivered_in_batches_and_none_is_lost() -> None:
    """A call a line once started so many workers that the cloud answered nobody."""
    python = ensure("cloud", Console(as_json=True)) / "python"
    folder = project_root() / "scripts" / "hotplate_tools" / "local"
    done = subprocess.run(
        [str(python), "-I", "-c", BATCHES, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    calls = json.loads(done.stdout)
    assert [group for group, _ in calls] == ["a", "b", "a", "b"]
    assert sorted(calls[0][1]) == list(range(50))
    assert sorted(calls[2][1]) == list(range(50, 100))
    assert [events for _, events in calls if len(events) == 1] == [[0], [50]]
