"""`hotplate up`: one line when it is ready, a real API behind it, and nothing left however it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.http_call import Answer, call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate_tools.local.up import LocalCloud

GONE_LIMIT_S = 20.0
# A command may take so long to end where other tests have the processors, in seconds.
END_LIMIT_S = 180
PIXELS = {"name": "image", "datatype": "FP32", "shape": [1, 28, 28, 1], "data": [0.0] * 784}
REQUEST = json.dumps({"inputs": [PIXELS]}).encode()


@dataclass(frozen=True)
class Running:
    """A `hotplate up` that is ready."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    children: frozenset[int]
    folder: Path


def parent_of(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def family(pid: int) -> set[int]:
    """Return the processes that descend from `pid`, it too."""
    pairs = [
        (int(entry.name), parent) for entry in Path("/proc").glob("[0-9]*") if (parent := parent_of(entry))
    ]
    found = {pid}
    while more := {child for child, parent in pairs if parent in found} - found:
        found |= more
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def running(*options: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "hotplate_tools.cli", "up", "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        call(ready["url"], "GET", "/v2/models/digits")
        folder = Path(Path(f"/proc/{ready['pid']}/cmdline").read_text().split("\0")[3])
        yield Running(process, ready, frozenset(family(process.pid)), folder)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=END_LIMIT_S)
        finally:
            process.kill()


def left_over(up: Running) -> list[str]:
    """Return what is still there of an `up` that has ended, after waiting for it to go."""
    deadline = time.monotonic() + GONE_LIMIT_S
    while True:
        left = [f"process {pid}" for pid in sorted(up.children) if alive(pid)]
        left += [str(up.folder)] if up.folder.exists() else []
        with socket.socket() as probe:
            left += ["port"] if probe.connect_ex(("127.0.0.1", up.ready["port"])) == 0 else []
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["ctrl-c", "sigterm", "sigkill"],
)
def test_end_leaves_no_process_file_or_port(number: signal.Signals, code: int) -> None:
    with running() as up:
        assert len(up.children) >= 4, "command, supervisor, cloud and a worker"
        assert up.folder.is_dir()
        up.process.send_signal(number)
        assert up.process.wait(END_LIMIT_S) == code
        assert left_over(up) == []


def test_cloud_that_dies_ends_the_command_and_leaves_nothing() -> None:
    with running() as up:
        (emulator,) = family(up.ready["pid"]) & {
            pid for pid in up.children if "emulator.py" in Path(f"/proc/{pid}/cmdline").read_text()
        } - {up.ready["pid"]}
        os.kill(emulator, signal.SIGKILL)
        assert up.process.wait(END_LIMIT_S) == 1
        assert left_over(up) == []


def test_calls_over_the_reserved_concurrency_are_refused() -> None:
    with running("--reserved-concurrency", "2") as up:
        lambdas = ThreadPoolExecutor(8)

        def infer(_: int) -> Answer:
            return call(up.ready["url"], "POST", "/v2/models/digits/infer", REQUEST)

        # One environment is warm; of eight calls at once at most two are worked on at any moment.
        statuses = Counter(answer.status for answer in lambdas.map(infer, range(8)))
        assert set(statuses) == {200, 429}
        workers = [
            pid for pid in family(up.ready["pid"]) if "hotplate/streaming/__main__.py" in _command(pid)
        ]
        digits = [pid for pid in workers if b"HOTPLATE_MODEL=digits\0" in _environment(pid)]
        assert len(digits) == 2


def test_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "hotplate_tools.cli", "up", "--json", "--port", str(port)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == f"port {port} of 127.0.0.1 is taken"


def test_route_that_is_not_there_is_refused_in_the_protocols_shape(cloud: LocalCloud) -> None:
    answer = call(cloud.url, "GET", "/nothing")
    assert (answer.status, answer.json()) == (403, {"error": "Missing Authentication Token"})


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_model_that_is_not_there_is_the_catalogues_to_refuse(cloud: LocalCloud, method: str) -> None:
    answer = call(cloud.url, method, "/v2/models/absent/infer", REQUEST if method == "POST" else None)
    assert answer.status == 404
    assert "digits" in answer.json()["error"]


def test_functions_log_is_readable(cloud: LocalCloud) -> None:
    call(cloud.url, "POST", "/v2/models/digits/infer", REQUEST)
    records = [json.loads(line) for line in cloud.logs("DigitsFunction") if line.startswith("{")]
    assert {"cold", "usage"} <= {record.get("hotplate") for record in records}


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
