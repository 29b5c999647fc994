"""The breast-cancer forest on ONNX Runtime: a file's rows are answered as requests are, bit for bit."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from functions.breast_cancer.model import COLUMNS
from hotplate.http.endpoint import Endpoint
from hotplate_tools.bench.batch_rows import loaded, rows_of, written
from hotplate_tools.console import Console
from tests.support.batch_rows import Outcome, predict_file, table_of
from tests.support.lambda_context import Context

if TYPE_CHECKING:
    from pathlib import Path

    from hotplate.runtime.model import Model

    Array = np.ndarray[Any, Any]

ROWS = 1500


@pytest.fixture(scope="module")
def model() -> Model:
    return loaded(Console(as_json=True))


@pytest.fixture(scope="module")
def rows() -> Array:
    return next(rows_of(ROWS))


def online(model: Model, rows: Array) -> tuple[list[list[float]], list[str]]:
    """Return what the endpoint answers to one JSON request of rows."""
    entry = {"name": "features", "datatype": "FP32", "shape": list(rows.shape), "data": rows}
    body = orjson.dumps({"inputs": [entry]}, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    path = "/v2/models/breast-cancer/infer"
    event = {"httpMethod": "POST", "path": path, "headers": {}, "body": body}
    answer = Endpoint(lambda: model)(event, Context())
    assert answer["statusCode"] == 200, answer["body"]
    outputs = {output["name"]: output["data"] for output in json.loads(answer["body"])["outputs"]}
    return np.array(outputs["probabilities"]).reshape(-1, 2).tolist(), outputs["diagnosis"]


def answered(outcome: Outcome) -> tuple[list[list[float]], list[str]]:
    """Return the same of a file of predictions; each number as its text reads, which has to be the same."""
    if outcome.layout.format == "parquet":
        table = table_of(outcome.body)
        columns = [np.array(table[f"probabilities[{at}]"], np.float32) for at in range(2)]
        texts = orjson.loads(orjson.dumps(np.stack(columns, axis=1), option=orjson.OPT_SERIALIZE_NUMPY))
        return texts, table["diagnosis"]
    if outcome.layout.format == "csv":
        lines = [line.split(",") for line in outcome.body.decode().splitlines()[1:]]
        return [[float(line[1]), float(line[2])] for line in lines], [line[3] for line in lines]
    objects = [json.loads(line) for line in outcome.body.splitlines()]
    return [each["probabilities"] for each in objects], [each["diagnosis"] for each in objects]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_files_rows_are_answered_as_a_requests_are(
    kind: str, model: Model, rows: Array, tmp_path: Path
) -> None:
    data = written(tmp_path / f"rows.{kind}", kind, ROWS).read_bytes()
    outcome = predict_file(data, f"rows.{kind}", model, target_bytes=100_000, keep=("id",))
    assert (outcome.predicted, outcome.errors) == (ROWS, [])
    probabilities, diagnoses = answered(outcome)
    wanted = online(model, rows)
    assert probabilities == wanted[0]
    assert diagnoses == wanted[1]


def test_a_row_is_answered_the_same_alone(model: Model, rows: Array) -> None:
    """Holds for this forest on one thread; what the arithmetic of another makes of it is in docs/18."""
    together = online(model, rows[:64])
    alone = [online(model, row[None]) for row in rows[:64]]
    assert [probabilities[0] for probabilities, _ in alone] == together[0]


def test_rows_can_come_by_name(model: Model, rows: Array) -> None:
    lines = [
        {"record": json.dumps(dict(zip(COLUMNS, map(float, row), strict=True)))} for row in rows[:20].tolist()
    ]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    outcome = predict_file(data, "rows.jsonl", model)
    assert answered(outcome) == online(model, rows[:20])


def test_columns_can_come_in_any_order_if_that_is_said(model: Model, rows: Array) -> None:
    order = np.random.default_rng(5).permutation(len(COLUMNS))
    lines = [
        ",".join(COLUMNS[at] for at in order),
        *(",".join(map(str, row)) for row in rows[:20, order].tolist()),
    ]
    columns = {name: f"features[{at}]" for at, name in enumerate(COLUMNS)}
    outcome = predict_file(
        "\n".join(lines).encode(), "rows.csv", model, columns=columns, keep=("mean radius",)
    )
    body = outcome.body.decode().splitlines()
    assert body[0] == "mean radius,probabilities[0],probabilities[1],diagnosis"
    assert [[float(x) for x in line.split(",")[1:3]] for line in body[1:]] == online(model, rows[:20])[0]


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_rows_that_the_function_refuses_are_told_by_their_column(
    model: Model, rows: Array, bad: float
) -> None:
    some = rows[:200].copy()
    some[[3, 150], 4] = bad
    text = "\n".join([",".join(COLUMNS), *(",".join(map(str, row)) for row in some.tolist())])
    outcome = predict_file(text.encode(), "rows.csv", model)
    assert [(error.row, error.field) for error in outcome.errors] == [(3, COLUMNS[4]), (150, COLUMNS[4])]
    assert outcome.predicted == 198
    good = np.delete(some, [3, 150], axis=0)
    body = outcome.body.decode().splitlines()[1:]
    assert [[float(x) for x in line.split(",")[:2]] for line in body] == online(model, good)[0]


def test_one_bad_row_in_ten_thousand_costs_that_row(model: Model, tmp_path: Path) -> None:
    count = 20_000
    data = written(tmp_path / "rows.csv", "csv", count).read_bytes()
    lines = data.splitlines(keepends=True)
    for row, text in ((5_000, b"x,not a number\n"), (15_000, b"15000" + b",nan" * 30 + b"\n")):
        lines[row + 1] = text
    outcome = predict_file(b"".join(lines), "rows.csv", model, target_bytes=2**20, keep=("id",))
    assert outcome.bad_rows == [5_000, 15_000]
    ids = [int(line.split(b",")[0]) for line in io.BytesIO(outcome.body).readlines()[1:]]
    assert ids == [row for row in range(count) if row not in (5_000, 15_000)]
