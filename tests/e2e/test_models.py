"""Every model with a trainer, from outside: its golden rows, its held-out metric, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hotplate.protocol.types import Tensor
from hotplate_tools.console import Console
from hotplate_tools.infer import infer
from hotplate_tools.publish.arrays import array_of, difference
from hotplate_tools.publish.golden import read_rows
from hotplate_tools.publish.model_yaml import read_spec
from hotplate_tools.training.served import evaluate_served
from hotplate_tools.training.stored import is_pipeline, model_folder, source_folder, trained_models
from tests.support.http_call import call

WEEK = {"name": "horizon", "datatype": "INT64", "shape": [1], "data": [1]}
PATIENT = {"age": 59, "sex": 2, "bmi": 32.1, "bp": 101, "s1": 157, "s2": 93.2, "s3": 38, "s4": 4}


# The others, and the pipelines of them, are built by `make models` and asked by tests/models.
COMMITTED = [
    name for name in trained_models() if model_folder(name) == source_folder(name) and not is_pipeline(name)
]


@pytest.mark.parametrize("name", COMMITTED)
def test_golden_rows_come_back_over_http(server: str, name: str) -> None:
    folder = model_folder(name)
    spec = read_spec(folder / "model.yaml")
    assert spec.golden is not None
    inputs = {tensor.name: tensor.datatype for tensor in spec.inputs}
    outputs = {tensor.name: tensor.datatype for tensor in spec.outputs}
    rows = read_rows(folder / spec.golden.file)[1]
    for row in rows:
        sent = [
            Tensor(key, inputs[key], array_of(data, inputs[key], key)) for key, data in row["inputs"].items()
        ]
        answer = infer(server, name, sent)
        for key, data in row["outputs"].items():
            expected = array_of(data, outputs[key], key)
            got = np.asarray(answer.outputs[key])
            assert not difference(got, expected, rtol=spec.golden.rtol, atol=spec.golden.atol), key
    forms = {tensor.name for tensor in spec.inputs if tensor.one_of}
    assert name == "digits" or forms <= {key for row in rows for key in row["inputs"]}, "every form of input"


@pytest.mark.parametrize("name", ["co2", "diabetes", "digit-features", "spam"])
def test_endpoint_reaches_the_metric_that_its_provenance_states(server: str, name: str) -> None:
    stated = read_spec(model_folder(name) / "model.yaml").provenance.metrics
    found = evaluate_served(name, server, Console(as_json=True))
    assert found.under == []
    assert found.metrics == pytest.approx(stated, abs=1e-3)


@pytest.mark.parametrize(
    ("model", "inputs", "what"),
    [
        (
            "co2",
            [{"name": "values", "datatype": "FP32", "shape": [3], "data": [1, 2, 3]}, WEEK],
            "values: expected the last 52 weeks or more, got 3",
        ),
        (
            "co2",
            [
                {"name": "values", "datatype": "FP32", "shape": [52], "data": [300] * 52},
                {**WEEK, "data": [53]},
            ],
            "horizon: expected 1 to 52 weeks, got 53",
        ),
        (
            "co2",
            [{"name": "values", "datatype": "FP32", "shape": [52], "data": [300] * 52}],
            "expected input 'horizon', got none of that name",
        ),
        (
            "diabetes",
            [{"name": "record", "datatype": "BYTES", "shape": [1], "data": [json.dumps(PATIENT)]}],
            "got one without s5, s6",
        ),
        (
            "diabetes",
            [{"name": "record", "datatype": "BYTES", "shape": [1], "data": ["fifty-nine"]}],
            "record[0]: expected a JSON object, got no JSON",
        ),
        (
            "digit-features",
            [{"name": "image", "datatype": "FP32", "shape": [1, 8, 8], "data": [0] * 63 + [17]}],
            "image[0, 7, 7]: expected 0 (paper) to 16 (ink), got 17.0",
        ),
    ],
)
def test_wrong_values_are_told_what_was_expected(
    server: str, model: str, inputs: list[dict[str, Any]], what: str
) -> None:
    answer = call(server, "POST", f"/v2/models/{model}/infer", json.dumps({"inputs": inputs}).encode())
    assert answer.status == 400
    assert what in answer.json()["error"]


def test_plain_text_is_answered_in_words(server: str) -> None:
    texts = [
        "Can you look at the patch?",
        "Click here! You WON a FREE prize, 100% guaranteed!!!",
    ]
    sent = {"name": "text", "datatype": "BYTES", "shape": [2], "data": texts}
    body = json.dumps({"inputs": [sent], "outputs": [{"name": "label"}]}).encode()
    answer = call(server, "POST", "/v2/models/spam/infer", body)
    assert (answer.status, answer.json()["outputs"][0]["data"]) == (200, ["ham", "spam"])


def test_series_of_any_length_is_forecast_as_far_as_asked(server: str) -> None:
    weeks = np.arange(104)
    values = 340 + weeks * 0.03 + 3 * np.sin(weeks * 2 * np.pi / 52)
    sent = {"name": "values", "datatype": "FP32", "shape": [104], "data": values.round(2).tolist()}
    body = json.dumps({"inputs": [sent, {**WEEK, "data": [26]}]}).encode()
    answer = call(server, "POST", "/v2/models/co2/infer", body)
    assert answer.status == 200
    (output,) = answer.json()["outputs"]
    assert (output["name"], output["shape"]) == ("forecast", [1, 26])
    ahead = np.arange(104, 130)
    expected = 340 + ahead * 0.03 + 3 * np.sin(ahead * 2 * np.pi / 52)
    assert np.abs(np.array(output["data"]) - expected).mean() < 1.5
