"""Each way in which Lambda starts a function, through its Runtime API, on awslambdaric."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hotplate_tools.failures import FailedError
from tests.support.faulty_s3 import Fault, FaultyS3, faulty_s3
from tests.support.heavy_models import EVENT, heavy
from tests.support.published import published
from tests.support.runtime import Started, descendants, started

ASK = {
    "httpMethod": "POST",
    "path": "/v2/models/affine/infer",
    "headers": {},
    "body": '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]}]}',
    "isBase64Encoded": False,
}


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with faulty_s3() as server:
        yield server


def answered(result: dict[str, Any]) -> Any:
    assert result["statusCode"] == 200, result
    return json.loads(result["body"])["outputs"][0]["data"]


def phases(function: Started) -> list[str]:
    (cold,) = function.lines("cold")
    return [*cold["phases_ms"]]


def sockets(pid: int) -> list[str]:
    links = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    return [link for link in links if link.startswith("socket:")]


# On demand

ON_DEMAND = {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
FIRST_INVOKE = {**ON_DEMAND, "HOTPLATE_INIT_MODE": "first-invoke"}


def test_on_demand_loads_in_init_and_answers_in_two_stages(s3: FaultyS3, tmp_path: Path) -> None:
    version = heavy(2, prepacking="later")
    with started(s3, version, tmp_path, ON_DEMAND) as function:
        function.api.wait_ready()
        assert phases(function) == ["runtime", "imports", "wait", "session"]
        first, *others = [answered(function.ask(EVENT)) for _ in range(3)]
        assert all(other == pytest.approx(first, rel=1e-3, abs=1e-3) for other in others)
        deadline = time.monotonic() + 60
        while not function.lines("second session") and time.monotonic() < deadline:
            function.ask(EVENT)
        (second,) = function.lines("second session")
        assert second["memory_mb"]["peak"] >= second["memory_mb"]["resident"] > 0


def test_first_invoke_loads_nothing_before_it_is_asked(s3: FaultyS3, tmp_path: Path) -> None:
    with started(s3, published(), tmp_path, FIRST_INVOKE) as function:
        function.api.wait_ready()
        assert s3.requests == []
        assert descendants(function.pid) == []
        assert answered(function.ask(ASK)) == [2, 4, 6]
        assert phases(function) == ["runtime", "imports", "manifest", "fetch", "session"]
        assert [line["cold"] for line in function.lines("usage")] == [True]


def test_first_invoke_does_not_count_what_lay_between(s3: FaultyS3, tmp_path: Path) -> None:
    began = time.monotonic()
    with started(s3, published(), tmp_path, FIRST_INVOKE) as function:
        function.api.wait_ready()
        ready_ms = (time.monotonic() - began) * 1000
        time.sleep(2)
        function.ask(ASK)
        (cold,) = function.lines("cold")
        assert cold["phases_ms"]["imports"] < ready_ms


# Provisioned concurrency


def test_provisioned_loads_and_rearranges_in_init(s3: FaultyS3, tmp_path: Path) -> None:
    version = heavy(2, prepacking="later")
    how = {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
        "HOTPLATE_INIT_MODE": "first-invoke",  # what it is for on demand changes nothing here
    }
    with started(s3, version, tmp_path, how) as function:
        function.api.wait_ready()
        assert "warmup" in phases(function)
        answered(function.ask(EVENT))
        answered(function.ask(EVENT))
        assert function.lines("second session") == []


# SnapStart

SNAP_START = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", "HOTPLATE_INIT_MODE": "snap-start"}


def test_snapshot_holds_the_model_and_no_child_or_connection(s3: FaultyS3, tmp_path: Path) -> None:
    version = heavy(2, prepacking="later")
    with started(s3, version, tmp_path, SNAP_START) as function:
        function.api.wait_snapshot()
        assert "warmup" in phases(function)
        assert descendants(function.pid) == []
        # One is the runtime's own, on which it asks whether to go on.
        assert len(sockets(function.pid)) == 1
        function.api.restore()
        first, second = [function.ask(EVENT) for _ in range(2)]
        assert answered(first) == answered(second)
        assert function.lines("second session") == []
        assert [line["cold"] for line in function.lines("usage")] == [True, False]


def test_first_answer_after_a_restore_tells_of_the_restore(s3: FaultyS3, tmp_path: Path) -> None:
    with started(s3, published(), tmp_path, SNAP_START) as function:
        function.api.wait_snapshot()
        function.api.restore()
        timing = function.ask(ASK)["headers"]["server-timing"]
        assert [part.partition(";")[0] for part in timing.split(", ")] == ["restore", "total"]
        (line,) = function.lines("restored")
        assert [*line["phases_ms"]] == ["restore"]
        assert line["model"] == "affine"


def test_snapshot_without_a_model_is_not_taken(s3: FaultyS3, tmp_path: Path) -> None:
    version = published()
    s3.faults[version.graph_key].append(Fault(status=404))
    with started(s3, version, tmp_path, SNAP_START) as function:
        with pytest.raises(FailedError, match="the runtime ended"):
            function.api.wait_snapshot()
        assert b"StoreNotFoundError" in function.api.errors["init/error"]


def test_settings_that_are_wrong_take_no_snapshot(s3: FaultyS3, tmp_path: Path) -> None:
    with started(s3, published(), tmp_path, {**SNAP_START, "HOTPLATE_VERSION": ""}) as function:
        with pytest.raises(FailedError, match="the runtime ended"):
            function.api.wait_snapshot()
        assert b"HOTPLATE_VERSION is not set" in function.api.errors["init/error"]


MOVED = """
import os
from snapshot_restore_py import register_before_snapshot
from functions.tensor.app import lambda_handler

@register_before_snapshot
def move():
    os.environ["HOTPLATE_MANIFEST_SHA256"] = "0" * 64
"""


def test_restored_model_is_compared_with_the_pin(s3: FaultyS3, tmp_path: Path) -> None:
    (tmp_path / "moved.py").write_text(MOVED)
    path = f"{tmp_path}:{Path(__file__).parents[3]}"
    how = {**SNAP_START, "PYTHONPATH": path}
    with started(s3, published(), tmp_path, how, handler="moved.lambda_handler") as function:
        function.api.wait_snapshot()
        function.api.restore()
        with pytest.raises(FailedError, match="the runtime ended"):
            function.ask(ASK)
        assert b"DigestMismatchError" in function.api.errors["restore/error"]


DRAWING = """
import random
import numpy as np
from snapshot_restore_py import register_after_restore, register_before_snapshot
from functions.tensor.app import lambda_handler

def draw(when):
    print(when, random.random(), np.random.random(), flush=True)

@register_before_snapshot
def before():
    global state
    state = random.getstate(), np.random.get_state()
    draw("before")
    random.setstate(state[0])
    np.random.set_state(state[1])

register_after_restore(draw, "after")
"""


def test_random_numbers_begin_anew_after_a_restore(s3: FaultyS3, tmp_path: Path) -> None:
    (tmp_path / "drawing.py").write_text(DRAWING)
    path = f"{tmp_path}:{Path(__file__).parents[3]}"
    how = {**SNAP_START, "PYTHONPATH": path}
    with started(s3, published(), tmp_path, how, handler="drawing.lambda_handler") as function:
        function.api.wait_snapshot()
        function.api.restore()
        function.ask(ASK)
        drawn = [line.split()[1:] for line in function.environment.log() if line[:6] in ("before", "after ")]
    assert len(drawn) == 2
    assert all(before != after for before, after in zip(*drawn, strict=True))


@contextmanager
def credentials_server() -> Iterator[tuple[str, list[str]]]:
    """Yield the address that gives out credentials, and the tokens it was asked with."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            body = {"AccessKeyId": "ASIA", "SecretAccessKey": "SK", "Token": "of now", "Expiration": "soon"}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/credentials", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_snap_start_reads_with_the_credentials_that_lambda_gives_there(s3: FaultyS3, tmp_path: Path) -> None:
    with credentials_server() as (uri, asked):
        credentials = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t"}
        with started(s3, published(), tmp_path, SNAP_START, credentials=credentials) as function:
            function.api.wait_snapshot()
            memory = Path(f"/proc/{function.pid}/environ").read_bytes()
            function.api.restore()
            assert answered(function.ask(ASK)) == [2, 4, 6]
    assert asked == ["t"]
    assert b"ASIA" not in memory
    assert {each["x-amz-security-token"] for each in s3.headers} == {"of now"}
    assert all("Credential=ASIA/" in each["authorization"] for each in s3.headers)


# Managed instances: several processes in one environment

MANAGED = {
    "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances",
    "AWS_LAMBDA_MAX_CONCURRENCY": "4",
    "HOTPLATE_INIT_MODE": "managed-instances",
}
LAYERS = 32  # 128 MiB


def proportional_mb(pids: list[int]) -> float:
    """Return the memory of processes, what they share counted once."""
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    lines = [line.split() for text in texts for line in text.splitlines()]
    return sum(int(line[1]) for line in lines if line[0] == "Pss:") / 1024


def test_processes_of_one_environment_share_one_copy_of_the_weights(s3: FaultyS3, tmp_path: Path) -> None:
    version = heavy(LAYERS, prepacking="later")
    with started(s3, version, tmp_path, MANAGED) as function:
        function.api.wait_ready(processes=4)
        workers = descendants(function.pid)
        assert len(workers) == 4
        rows = [answered(function.ask(EVENT)) for _ in range(8)]
        assert all(row == rows[0] for row in rows)
        memory = proportional_mb(workers)
        cold = function.lines("cold")
    # One fetched, the others waited and mapped what it wrote.
    weights = [key for key, _ in s3.requests if s3.objects[key] == max(s3.objects.values(), key=len)]
    assert len(weights) == 16
    # Once the weights and the four processes themselves, with room; four copies would be 512 MB alone.
    assert memory < 1.25 * 128 + 4 * 60, memory
    assert all("share them as they are" in line["notes"][-1] for line in cold)
    assert all(line["memory_mb"]["private"] < 80 for line in cold)
