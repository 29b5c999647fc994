"""How environments come, go and are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hotplate_tools.console import Console
from hotplate_tools.failures import FailedError
from hotplate_tools.local.harness import RuntimeHarness, runtime_harness
from tests.support.tiny_function import write_tiny_application

_HOLD = """
import sys, time
from pathlib import Path
from hotplate_tools.console import Console
from hotplate_tools.local.harness import runtime_harness

with runtime_harness(
    Console(), bucket="b", s3_endpoint=None, parameters={}, template=Path(sys.argv[1])
) as harness:
    harness.invoke("TinyFunction", {"do": "describe"})
    print(harness.environments("TinyFunction")[0].pid, harness.folder, flush=True)
    time.sleep(60)
"""


def test_ten_requests_at_once_share_four_environments_and_the_rest_is_refused(tmp_path: Path) -> None:
    with (
        runtime_harness(
            Console(),
            bucket="b",
            s3_endpoint=None,
            parameters={},
            template=write_tiny_application(tmp_path),
            functions=["TinyFunction"],
        ) as harness,
        ThreadPoolExecutor(10) as threads,
    ):
        together = threading.Barrier(10)

        def call(_: int) -> tuple[int, str | None]:
            together.wait()
            result = harness.invoke("TinyFunction", {"do": "sleep", "seconds": 1})
            return result.status, result.error_type

        answers = Counter(threads.map(call, range(10)))
        assert answers == {(200, None): 4, (429, "TooManyRequestsException"): 6}
        assert [each.invocations for each in harness.environments("TinyFunction")] == [1, 1, 1, 1]


def test_calls_one_after_the_other_use_one_environment(harness: RuntimeHarness) -> None:
    before = len(harness.environments("TinyFunction"))
    for _ in range(3):
        harness.invoke("TinyFunction", {"do": "describe"})
    assert len(harness.environments("TinyFunction")) <= max(before, 1)


def test_warm_starts_as_many_environments_as_asked(harness: RuntimeHarness) -> None:
    results = harness.warm("TinyFunction", {"do": "describe"}, 3)
    assert [each.function_error for each in results] == [None] * 3
    assert len(harness.environments("TinyFunction")) == 3


def test_warm_of_more_than_the_limit_is_refused(harness: RuntimeHarness) -> None:
    with pytest.raises(FailedError, match="may have 4 environments, not 5"):
        harness.warm("TinyFunction", {"do": "describe"}, 5)


def test_dead_environment_is_replaced(harness: RuntimeHarness) -> None:
    harness.invoke("TinyFunction", {"do": "describe"})
    for environment in harness.environments("TinyFunction"):
        os.kill(environment.pid, signal.SIGKILL)
        environment.close()
    result = harness.invoke("TinyFunction", {"do": "describe"})
    assert json.loads(result.payload)["count"] == 1


def test_function_that_is_not_served_is_named(harness: RuntimeHarness) -> None:
    with pytest.raises(FailedError, match="Missing is not served"):
        harness.invoke("Missing", {})


def test_nothing_is_left_after_close(tmp_path: Path) -> None:
    with runtime_harness(
        Console(), bucket="b", s3_endpoint=None, parameters={}, template=write_tiny_application(tmp_path)
    ) as harness:
        harness.warm("TinyFunction", {"do": "describe"}, 2)
        pids = family(harness.environments("TinyFunction")[0].pid)
        assert len(pids) == 3  # supervisor, RIE, runtime
    assert not harness.folder.exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_nothing_is_left_however_the_owner_ends(tmp_path: Path, end: signal.Signals) -> None:
    template = write_tiny_application(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(template)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as owner:
        assert owner.stdout
        pid, folder = owner.stdout.readline().split()
        pids = family(int(pid))
        assert len(pids) == 3
        owner.send_signal(end)
    left = [Path(folder), *(Path(f"/proc/{pid}") for pid in pids)]
    deadline = time.monotonic() + 5
    while any(each.exists() for each in left) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [each for each in left if each.exists()] == []


def family(pid: int) -> list[int]:
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [pid, *(each for child in children for each in family(child))]
