"""Rows on which the model failed are asked again, alone, by `resume`; everything else stays as it is."""

from __future__ import annotations

import io
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from arro3.core import Array, Table
from arro3.io import read_parquet, write_parquet

from hotplate.aws.batch_files import SIDECAR
from hotplate.aws.batch_queue import RunMessage
from hotplate.errors import InferenceError, StepError, ValueRangeError
from tests.support.batch import BUCKET, counted, loaded_affine, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.batch.asked import PieceAnswer, PieceAsked
    from tests.support.batch import World

ROWS = np.arange(120, dtype=np.float32).reshape(40, 3)
REFUSED = 11
FORMATS = ("csv", "jsonl", "parquet", "npy")


@dataclass
class Flaky:
    """Doubles rows; fails on some, refuses one."""

    fails_on: set[int]
    asked: list[int] = field(default_factory=list)

    def run(self, inputs: Any, wanted: Any) -> Any:
        rows = (inputs["x"][:, 0] / 3).astype(int).tolist()
        self.asked += rows
        if self.fails_on.intersection(rows):
            raise InferenceError("no")
        if REFUSED in rows:
            raise ValueRangeError(f"x of row {rows.index(REFUSED)}", expected="another", received="it")
        return {"y": inputs["x"] * np.float32(2)}


@pytest.fixture
def predictor() -> Flaky:
    return Flaky({0, 5, 6, 13, 39})


@pytest.fixture
def batch(predictor: Flaky) -> Iterator[World]:
    model = msgspec.structs.replace(loaded_affine(), predictor=predictor)
    with world(model=model, rows_in_chunk=250) as found:
        yield found


def body_of(kind: str) -> bytes:
    if kind.endswith("csv"):
        return "".join(["a,b,c\n", *(",".join(map(str, row)) + "\n" for row in ROWS.tolist())]).encode()
    if kind == "jsonl":
        return b"".join(json.dumps({"x": row}).encode() + b"\n" for row in ROWS.tolist())
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, ROWS)
    else:
        columns = [Array(np.ascontiguousarray(ROWS[:, at])) for at in range(3)]
        write_parquet(Table.from_arrays(columns, names=["a", "b", "c"]), file, max_row_group_size=20)
    return file.getvalue()


def answers_in(body: bytes, kind: str) -> list[list[float]]:
    if kind == "csv":
        return [list(map(float, line.split(b",")))[1:] for line in body.splitlines()[1:]]
    if kind == "jsonl":
        return [json.loads(line)["y"] for line in body.splitlines()]
    if kind == "npy":
        found: list[list[float]] = np.load(io.BytesIO(body))["y"].tolist()
        return found
    table = read_parquet(body).read_all()
    return np.stack([table.column(f"y[{at}]").to_numpy() for at in range(3)], axis=1).tolist()  # type: ignore[no-any-return]


def put(batch: World, kind: str) -> str:
    key = f"in/acme/affine/rows.{kind}"
    options = {} if kind == "npy" else {"row_numbers": kind.endswith("csv")}
    batch.s3.put_object(Bucket=BUCKET, Key=key + SIDECAR, Body=json.dumps(options).encode())
    batch.put(body_of(kind), key)
    batch.work()
    return key


def predictions(batch: World, key: str, kind: str) -> list[list[float]]:
    return answers_in(batch.out("predictions." + {"npy": "npz"}.get(kind, kind), key), kind)


def without(*rows: int) -> list[list[float]]:
    return (2 * np.delete(ROWS, rows, axis=0)).tolist()


def bad_rows(batch: World, key: str) -> dict[int, bool]:
    told = map(json.loads, batch.out("errors.jsonl", key).splitlines())
    return {each["row"]: each.get("again", False) for each in told}


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_on_which_the_model_failed_are_asked_again_alone(
    batch: World, predictor: Flaky, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = put(batch, kind)
    failed = sorted(predictor.fails_on)
    assert bad_rows(batch, key) == {**dict.fromkeys(failed, True), REFUSED: False}
    assert batch.report(key)["resumable_rows"] == 5
    assert predictions(batch, key, kind) == without(*failed, REFUSED)

    predictor.fails_on, predictor.asked = {6}, []
    run = batch.run(key)["run"]
    assert batch.ask("resume", run=run)["state"] == "running"
    batch.work()
    report = batch.report(key)
    assert set(predictor.asked) == set(failed)
    assert predictions(batch, key, kind) == without(6, REFUSED)
    assert bad_rows(batch, key) == {6: True, REFUSED: False}
    assert report["state"] == "succeeded"
    assert (report["rows"], report["resumable_rows"]) == ({"read": 40, "predicted": 38, "failed": 2}, 1)
    assert batch.run(key)["rows"] == {"predicted": 38, "failed": 2}
    assert batch.run(key)["chunks"]["done"] == report["chunks"]["all"] > 1

    predictor.fails_on = set()
    batch.ask("resume", run=run)
    batch.work()
    assert predictions(batch, key, kind) == without(REFUSED)
    assert bad_rows(batch, key) == {REFUSED: False}
    assert batch.ask("resume", run=run)["status"] == 409
    ledger = counted(capsys.readouterr().out)
    assert ledger["rows"] == 40 + 5 + 1
    assert ledger["requests"] == batch.report(key)["usage"]["requests"]


def test_rows_that_cannot_be_asked_again_stay_as_they_were_and_the_report_says_why(
    batch: World, predictor: Flaky
) -> None:
    key = put(batch, "csv")
    before, bad = predictions(batch, key, "csv"), bad_rows(batch, key)
    batch.models.faults = {number: [StepError("its function ended")] * 5 for number in range(20)}
    run = batch.run(key)["run"]
    batch.ask("resume", run=run)
    batch.work()
    report = batch.report(key)
    assert (report["state"], report["resumable_rows"]) == ("succeeded", 5)
    assert {each["reason"] for each in report["chunks"]["reasons"]} == {"StepError: its function ended"}
    assert (predictions(batch, key, "csv"), bad_rows(batch, key)) == (before, bad)
    batch.models.faults, predictor.fails_on = {}, set()
    batch.ask("resume", run=run)
    batch.work()
    assert predictions(batch, key, "csv") == without(REFUSED)
    assert batch.report(key)["chunks"]["reasons"] == []


def test_who_is_second_and_fails_on_other_rows_writes_another_part(
    batch: World, predictor: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, parts = batch.models.predict, list[str]()

    def predict_twice(model: str, function: str, tenant: str, asked: PieceAsked) -> PieceAnswer:
        first = ask(model, function, tenant, asked)
        failing, predictor.fails_on = predictor.fails_on, set()
        parts.append(ask(model, function, tenant, asked).part)
        predictor.fails_on = failing
        assert (first.part in parts) == (first.again == 0)
        return first

    monkeypatch.setattr(batch.models, "predict", predict_twice)
    key = put(batch, "csv")
    assert predictions(batch, key, "csv") == without(*predictor.fails_on, REFUSED)


def test_messages_that_come_twice_ask_rows_again_once(
    predictor: Flaky, capsys: pytest.CaptureFixture[str]
) -> None:
    model = msgspec.structs.replace(loaded_affine(), predictor=predictor)
    with world(model=model, rows_in_chunk=250, copies=2, seed=4) as batch:
        key = put(batch, "csv")
        predictor.fails_on = set()
        for _ in range(2):
            batch.ask("resume", run=batch.run(key)["run"])
        batch.work()
        assert predictions(batch, key, "csv") == without(REFUSED)
        assert batch.run(key)["rows"] == {"predicted": 39, "failed": 1}
        assert counted(capsys.readouterr().out)["rows"] == 45


def test_worker_that_is_killed_while_rows_are_asked_again(
    batch: World, predictor: Flaky, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, moment in enumerate(random.Random(5).sample(range(1, 50), 8)):
        predictor.fails_on = {0, 5, 6, 13, 39}
        key = put(batch, f"{number}.csv")
        predictor.fails_on = set()
        batch.ask("resume", run=batch.run(key)["run"])
        batch.moments.kill_at = {batch.moments.count + moment}
        batch.work()
        assert batch.moments.count >= max(batch.moments.kill_at)
        batch.moments.kill_at = set()
        assert batch.report(key)["state"] == "succeeded"
        assert predictions(batch, key, "csv") == without(REFUSED)
        assert batch.run(key)["rows"] == {"predicted": 39, "failed": 1}
        assert batch.run(key)["chunks"]["done"] == batch.report(key)["chunks"]["all"]
        assert counted(capsys.readouterr().out)["rows"] == 45


def test_run_whose_file_was_replaced_is_not_resumed(batch: World, predictor: Flaky) -> None:
    key = put(batch, "csv")
    run = batch.run(key)["run"]
    batch.put(b"a,b,c\n3,4,5\n", key)
    batch.work()
    told = batch.ask("resume", run=run)
    assert (told["status"], "another object lies at its key" in told["error"]) == (409, True)


def test_a_round_that_is_cancelled_leaves_what_the_run_had(batch: World, predictor: Flaky) -> None:
    key = put(batch, "csv")
    had = batch.out("predictions.csv", key)
    run = batch.run(key)["run"]
    predictor.fails_on = set()
    batch.ask("resume", run=run)
    assert batch.ask("cancel", run=run)["state"] == "cancelled"
    batch.work()
    assert batch.ask("resume", run=run)["state"] == "running"
    batch.work()
    ended = batch.run(key)
    assert (ended["state"], ended["chunks"]["done"]) == ("succeeded", ended["chunks"]["all"])
    assert batch.out("predictions.csv", key) == had
    # And its rows can be asked again.
    batch.ask("resume", run=run)
    batch.work()
    assert predictions(batch, key, "csv") == without(REFUSED)


def test_a_round_that_cannot_begin_leaves_what_the_run_had(batch: World, predictor: Flaky) -> None:
    key = put(batch, "csv")
    had = batch.out("predictions.csv", key)
    run = batch.run(key)["run"]
    predictor.fails_on = set()
    again = batch.table.again_rows(batch.table.get(run), pieces=1)
    assert again
    batch.messages._splitter.give_up(RunMessage("split", run, again.round), "queue refused")
    assert batch.run(key)["state"] == "failed"
    assert batch.out("predictions.csv", key) == had
    batch.ask("resume", run=run)
    batch.work()
    assert batch.run(key)["state"] == "succeeded"
    assert batch.out("predictions.csv", key) == had
