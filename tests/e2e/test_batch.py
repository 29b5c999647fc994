"""Files on the local cloud: dropped, predicted as what is asked at once; cancelled and resumed."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pybase64
import pytest
from arro3.core import Array, Table
from arro3.io import read_parquet, write_parquet
from click.testing import CliRunner

from hotplate_tools.batch.commands import batch
from hotplate_tools.batch.follow import ENDED
from hotplate_tools.batch.stack import BatchOfStack, batch_of
from hotplate_tools.deployed import DeployedStack
from hotplate_tools.models.digits.drawing import draw
from hotplate_tools.training.stored import source_folder
from tests.support.http_call import call

if TYPE_CHECKING:
    from pathlib import Path

    from hotplate_tools.local.up import LocalCloud

MODEL = "breast-cancer"
NAMES = [f"features[{n}]" for n in range(30)]
COUNT = 60


def rows() -> np.ndarray[Any, Any]:
    lines = (source_folder(MODEL) / "golden.jsonl").read_text().splitlines()
    golden = next(given for line in lines if (given := json.loads(line)["inputs"].get("features")))
    return np.resize(np.array(golden, np.float32), (COUNT, 30))


ROWS = rows()


@pytest.fixture(scope="module")
def stack(cloud: LocalCloud) -> BatchOfStack:
    return batch_of(DeployedStack("hotplate", cloud.endpoint))


@pytest.fixture(scope="module")
def online(cloud: LocalCloud) -> list[tuple[float, float, str]]:
    """What is answered at once."""
    features = {"name": "features", "datatype": "FP32", "shape": list(ROWS.shape), "data": ROWS.tolist()}
    answer = call(cloud.url, "POST", f"/v2/models/{MODEL}/infer", json.dumps({"inputs": [features]}).encode())
    assert answer.status == 200, answer.body
    found = {each["name"]: each["data"] for each in answer.json()["outputs"]}
    pairs = np.array(found["probabilities"], np.float32).reshape(-1, 2)
    return [(float(a), float(b), word) for (a, b), word in zip(pairs, found["diagnosis"], strict=True)]


def put(stack: BatchOfStack, file: str, body: bytes, options: dict[str, Any] | None = None) -> str:
    """Put an input and its options; return its key."""
    key = f"in/acme/{MODEL}/{file}"
    if options:
        beside = json.dumps(options).encode()
        stack.s3.put_object(Bucket=stack.bucket, Key=f"{key}.batch.json", Body=beside)
    stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=body)
    return key


def begun(stack: BatchOfStack, key: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if found := stack.find(key, ""):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{key}: not begun after 60 s")


def ended(stack: BatchOfStack, key: str) -> dict[str, Any]:
    told, until = begun(stack, key), time.monotonic() + 90
    while told["state"] not in ENDED:
        assert time.monotonic() < until, told
        time.sleep(0.25)
        told = stack.ask("status", told["run"])
    return told


def out(stack: BatchOfStack, key: str, name: str) -> bytes:
    folder = key.replace("in/", "out/", 1)
    return stack.s3.get_object(Bucket=stack.bucket, Key=f"{folder}/{name}")["Body"].read()


def as_csv(features: np.ndarray[Any, Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([["id", *NAMES], *([n, *row] for n, row in enumerate(features.tolist()))])
    return text.getvalue().encode()


def as_jsonl(features: np.ndarray[Any, Any]) -> bytes:
    lines = ({"id": n, "features": row} for n, row in enumerate(features.tolist()))
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def read_csv(body: bytes) -> list[tuple[int, float, float, str]]:
    head, *found = csv.reader(io.StringIO(body.decode()))
    assert head == ["id", "probabilities[0]", "probabilities[1]", "diagnosis"]
    return [(int(n), float(np.float32(a)), float(np.float32(b)), word) for n, a, b, word in found]


def numbered(answers: list[tuple[float, float, str]]) -> list[tuple[int, float, float, str]]:
    return [(n, *each) for n, each in enumerate(answers)]


def test_command_predicts_a_file_as_the_endpoint_does(
    cloud: LocalCloud, online: list[tuple[float, float, str]], tmp_path: Path
) -> None:
    file = tmp_path / "rows of a day.csv"
    file.write_bytes(as_csv(ROWS))
    arguments = ["run", str(file), "--model", MODEL, "--options", '{"keep": ["id"]}', "--json"]
    arguments += ["--endpoint", cloud.endpoint, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(batch, arguments, catch_exceptions=False)
    report = json.loads(done.stdout)
    assert report["rows"] == {"read": COUNT, "predicted": COUNT, "failed": 0}
    assert read_csv((tmp_path / "out" / "predictions.csv").read_bytes()) == numbered(online)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["run"] == report["run"]


def test_odd_names_and_bad_rows(stack: BatchOfStack, online: list[tuple[float, float, str]]) -> None:
    lines = as_jsonl(ROWS).splitlines()
    lines[7] = b'{"id": 7, "features": ["much"]}'
    lines[31] = b'{"id": 31}'
    key = put(stack, "中文 a+b%2Fc.jsonl", b"\n".join(lines), {"keep": ["id"]})
    assert ended(stack, key)["state"] == "succeeded"
    found = [json.loads(line) for line in out(stack, key, "predictions.jsonl").splitlines()]
    good = [each for each in numbered(online) if each[0] not in (7, 31)]
    assert [
        (each["id"], *map(float, np.array(each["probabilities"], np.float32)), each["diagnosis"])
        for each in found
    ] == good
    errors = [json.loads(line) for line in out(stack, key, "errors.jsonl").splitlines()]
    assert [each["row"] for each in errors] == [7, 31]
    report = json.loads(out(stack, key, "report.json"))
    assert report["rows"] == {"read": COUNT, "predicted": COUNT - 2, "failed": 2}


def test_parquet(stack: BatchOfStack, online: list[tuple[float, float, str]], tmp_path: Path) -> None:
    columns = {name: Array(np.ascontiguousarray(ROWS[:, n])) for n, name in enumerate(NAMES)}
    file = tmp_path / "rows.parquet"
    write_parquet(Table.from_pydict({"id": Array(np.arange(COUNT)), **columns}), str(file))
    key = put(stack, "rows.parquet", file.read_bytes(), {"keep": ["id"]})
    assert ended(stack, key)["state"] == "succeeded"
    table = read_parquet(io.BytesIO(out(stack, key, "predictions.parquet"))).read_all()
    found = {name: table.column(name).to_pylist() for name in table.schema.names}
    pairs = zip(*found.values(), strict=True)
    assert list(pairs) == numbered(online)


def test_broken_file_is_a_report(stack: BatchOfStack) -> None:
    key = put(stack, "broken.parquet", b"PAR1 no table PAR1")
    told = ended(stack, key)
    assert told["state"] == "failed"
    assert json.loads(out(stack, key, "report.json"))["reason"] == told["reason"] != ""


def test_run_is_cancelled_and_goes_on(stack: BatchOfStack, cloud: LocalCloud) -> None:
    many = np.resize(ROWS, (4000, 30))
    key = put(stack, "many.csv", as_csv(many), {"batch_rows": 1, "keep": ["id"]})
    run = begun(stack, key)["run"]
    arguments = [run, "--endpoint", cloud.endpoint, "--json"]
    done = CliRunner().invoke(batch, ["cancel", *arguments], catch_exceptions=False)
    assert json.loads(done.stdout)["state"] == "cancelled"
    done = CliRunner().invoke(batch, ["resume", *arguments], catch_exceptions=False)
    assert json.loads(done.stdout)["rows"]["predicted"] == len(many)
    assert [each[0] for each in read_csv(out(stack, key, "predictions.csv"))] == list(range(len(many)))
    status = CliRunner().invoke(batch, ["status", *arguments], catch_exceptions=False)
    assert json.loads(status.stdout)["state"] == "succeeded"


def test_large_file_goes_through_the_state_machine(
    stack: BatchOfStack, cloud: LocalCloud, online: list[tuple[float, float, str]]
) -> None:
    many = np.resize(ROWS, (60_000, 30))
    key = put(stack, "large.csv", as_csv(many), {"keep": ["id"]})
    told = ended(stack, key)
    assert (told["state"], told["engine"]) == ("succeeded", "map"), told
    assert told["chunks"]["all"] == told["chunks"]["done"] > 2
    assert read_csv(out(stack, key, "predictions.csv")) == numbered(online * 1000)
    states = DeployedStack("hotplate", cloud.endpoint).client("stepfunctions")
    execution = execution_of(states, told["run"])
    (run,) = states.list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
    counts = states.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
    assert (counts["succeeded"], counts["failed"]) == (told["chunks"]["all"], 0)


def test_run_of_the_state_machine_is_cancelled_and_goes_on(stack: BatchOfStack, cloud: LocalCloud) -> None:
    many = np.resize(ROWS, (45_000, 30))
    key = put(stack, "large and slow.csv", as_csv(many), {"batch_rows": 1, "keep": ["id"]})
    told, until = begun(stack, key), time.monotonic() + 60
    while told["engine"] != "map" and time.monotonic() < until:
        time.sleep(0.1)
        told = stack.ask("status", told["run"])
    assert told["engine"] == "map", told
    assert stack.ask("cancel", told["run"])["state"] == "cancelled"
    states = DeployedStack("hotplate", cloud.endpoint).client("stepfunctions")
    assert execution_of(states, told["run"])["status"] == "ABORTED"
    stack.ask("resume", told["run"])
    told = ended(stack, key)
    assert (told["state"], told["round"]) == ("succeeded", 1), told
    assert [each[0] for each in read_csv(out(stack, key, "predictions.csv"))] == list(range(len(many)))


def execution_of(states: Any, run: str) -> dict[str, Any]:
    """Return what is told of the execution of a run's first round."""
    machines = states.list_state_machines()["stateMachines"]
    (machine,) = [each["stateMachineArn"] for each in machines if each["name"] == "hotplate-batch"]
    executions = states.list_executions(stateMachineArn=machine)["executions"]
    (arn,) = [
        each["executionArn"]
        for each in executions
        if each["name"].startswith(f"{run}-") and each["name"].endswith("-0")
    ]
    found: dict[str, Any] = states.describe_execution(executionArn=arn)
    return found


def test_folder_of_pictures_is_predicted_as_the_endpoint_does(cloud: LocalCloud, tmp_path: Path) -> None:
    line = (source_folder("digits") / "golden.jsonl").read_text().splitlines()[0]
    images = np.asarray(json.loads(line)["inputs"]["image"], np.float32)
    pictures = {
        f"{n % 2}/{n:02d}.png": draw(np.roll(images[0], n, axis=1), side=90, kind="PNG") for n in range(8)
    }
    for name, content in {**pictures, "0/broken.png": b"no picture"}.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(content)
    arguments = [
        "run",
        str(tmp_path / "set"),
        "--model",
        "digits",
        "--json",
        "--options",
        '{"batch_rows": 1}',
    ]
    arguments += ["--endpoint", cloud.endpoint, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(batch, arguments, catch_exceptions=False)
    assert json.loads(done.stdout)["rows"] == {"read": 9, "predicted": 8, "failed": 1}
    lines = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(each) for each in lines] == [
        {"file": name, **pictured(cloud, content)} for name, content in sorted(pictures.items())
    ]
    (error,) = map(json.loads, (tmp_path / "out" / "errors.jsonl").read_text().splitlines())
    assert error["file"] == "0/broken.png"


def pictured(cloud: LocalCloud, content: bytes) -> dict[str, Any]:
    """Return what is answered at once to a picture."""
    entry = {
        "name": "image_file",
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"content_type": "base64"},
    }
    body = {"inputs": [{**entry, "data": [pybase64.b64encode_as_string(content)]}]}
    answer = call(cloud.url, "POST", "/v2/models/digits/infer", json.dumps(body).encode())
    assert answer.status == 200, answer.body
    found = {each["name"]: each["data"] for each in answer.json()["outputs"]}
    return {"probabilities": found["probabilities"], "digit": found["digit"][0]}
