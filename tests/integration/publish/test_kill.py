"""`kill -9` of a publisher at random moments: no reader ever meets half a version.

Real processes, a real SIGKILL, over a registry in a folder and over one in a bucket.
"""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from moto.server import ThreadedMotoServer
from onnx import TensorProto, helper

from hotplate.aws.clients import s3_client
from hotplate.aws.s3_store import S3Store
from hotplate.limits import MIB
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.publish.aliases import read_alias
from hotplate_tools.publish.pipeline import describe
from tests.support.tiny_models import info, model_of, write_onnx
from tests.support.warm_publisher import start
from tests.support.whole_registry import assert_whole

if TYPE_CHECKING:
    from hotplate.store.base import Store

KILLS = 20
# Share of a publisher's time in which it writes, at least.
WRITING = 0.02
# One file is longer than a part of an upload (16 MiB), so that uploads in parts are killed too.
SIZES = (17 * MIB, 2 * MIB, MIB, MIB)
NAME = "heavy"
MODEL_YAML = f"""
name: {NAME}
inputs: [{{name: x, datatype: FP32, shape: [-1]}}]
outputs: [{{name: y, datatype: FP32, shape: [-1]}}]
artefact: {NAME}.onnx
plan: {{weight_form: source}}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards: forty versions are several hundred megabytes."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def write_model(folder: Path, number: int) -> Path:
    """Write `number`'s own y = x + the sum of four tensors kept outside; return the model's folder.

    Published as it is: the optimiser would fold the tensors into one number, and leave nothing to kill.
    """
    noise = np.random.default_rng(number)
    weights, nodes, total = [], [], "x"
    for index, size in enumerate(SIZES):
        name = f"w{index}"
        # The large file is shared by four versions: what a killed publisher uploaded is taken up by the next.
        seed = np.random.default_rng(number // 4) if index == 0 else noise
        file = folder / f"{name}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(seed.standard_normal(size // 4, np.float32).tobytes())
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[size // 4])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=file.name)
        weights.append(tensor)
        nodes.append(helper.make_node("ReduceSum", [name], [f"s{index}"], keepdims=0))
        nodes.append(helper.make_node("Add", [total, f"s{index}"], [total := f"t{index}"]))
    nodes.append(helper.make_node("Identity", [total], ["y"]))
    model: onnx.ModelProto = model_of(nodes, [info("x", ["n"])], [info("y", ["n"])], initializers=weights)
    write_onnx(folder / f"{NAME}.onnx", model)
    (folder / "model.yaml").write_text(MODEL_YAML)
    return folder


def run_publisher(model: Path, where: list[str], environment: dict[str, str]) -> float:
    """Publish to the end; return the seconds that took."""
    started = time.monotonic()
    process = start(["publish", str(model), "--no-measure", *where], environment, model.parent)
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - started


def count_blobs(store: Store) -> int:
    return sum(1 for _ in store.keys("blobs/"))


def survive(store: Store, where: list[str], environment: dict[str, str], folder: Path) -> None:
    """Publish twenty versions, kill each publisher at a random moment; then publish one more."""
    run_publisher(write_model(folder / "warm-up", 98), where, environment)
    whole_s = run_publisher(write_model(folder / "first", 99), where, environment)
    moments, killed, midway, verified = random.Random(3), 0, 0, set[str]()
    for number in range(KILLS):
        model = write_model(folder / "next", number)
        before, blobs = read_alias(store, NAME, "live"), count_blobs(store)
        process = start(["publish", str(model), "--no-measure", *where], environment, model.parent)
        window_s = whole_s
        if number % 2:  # every other one is let alone until it writes, which takes a small part of the time
            while process.is_alive() and count_blobs(store) == blobs:
                time.sleep(0.001)
            window_s *= WRITING
        process.join(moments.uniform(0, 1) * window_s)
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        after = read_alias(store, NAME, "live")
        killed += process.exitcode != 0
        midway += after == before and count_blobs(store) > blobs
        assert after != before or process.exitcode != 0
        assert_whole(store, verified)
    # The moments are random, but they did hit: a publisher at work, and between its blobs and its alias.
    assert killed >= KILLS / 4
    assert midway >= 1
    run_publisher(model, where, environment)
    assert_whole(store)
    live = read_alias(store, NAME, "live")
    assert live is not None
    assert live[0].version == describe(model).version


def test_killed_publishers_leave_a_folder_registry_whole(folder: Path) -> None:
    registry = folder / "registry"
    survive(FilesystemStore(registry), ["--registry", str(registry)], {}, folder)


def test_killed_publishers_leave_a_bucket_registry_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        variables = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        client = s3_client(region="us-east-1")
        client.create_bucket(Bucket="registry")
        survive(S3Store(client, "registry"), ["--bucket", "registry"], variables, folder)
        client.close()
    finally:
        server.stop()
