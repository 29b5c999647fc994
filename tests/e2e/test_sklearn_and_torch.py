"""A forest, a recurrent network and a Transformer behind their endpoints: golden rows, forms, lengths."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import tritonclient.http as triton

from hotplate_tools.training.stored import model_folder
from tests.support.golden_calls import assert_golden_rows_come_out
from tests.support.http_call import call

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client(server: str) -> Iterator[triton.InferenceServerClient]:
    parts = urlsplit(server)
    opened = triton.InferenceServerClient(
        parts.netloc + parts.path, ssl=parts.scheme == "https", network_timeout=60, connection_timeout=60
    )
    with opened:
        yield opened


def texts(name: str, *elements: str) -> triton.InferInput:
    tensor = triton.InferInput(name, [len(elements)], "BYTES")
    tensor.set_data_from_numpy(np.array([element.encode() for element in elements], object))
    return tensor


def floats(name: str, rows: Any) -> triton.InferInput:
    array = np.asarray(rows, np.float32)
    tensor = triton.InferInput(name, list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return tensor


@pytest.mark.parametrize("name", ["breast-cancer", "nile", "dates"])
def test_golden_rows_come_out(server: str, name: str) -> None:
    assert_golden_rows_come_out(server, name)


def test_a_sample_by_name_is_diagnosed_like_its_row(client: triton.InferenceServerClient) -> None:
    lines = (model_folder("breast-cancer") / "golden.jsonl").read_text("utf-8").splitlines()
    matrix, records = (json.loads(line)["inputs"] for line in lines)
    by_place = client.infer("breast-cancer", [floats("features", matrix["features"])])
    by_name = client.infer("breast-cancer", [texts("record", *records["record"])])
    for output in ("probabilities", "diagnosis"):
        np.testing.assert_array_equal(by_place.as_numpy(output), by_name.as_numpy(output))
    assert set(by_name.as_numpy("diagnosis").tolist()) <= {b"malignant", b"benign"}


def test_a_record_without_a_column_is_refused_by_its_name(server: str) -> None:
    record = {"name": "record", "datatype": "BYTES", "shape": [1], "data": ['{"mean radius": 1}']}
    answer = call(server, "POST", "/v2/models/breast-cancer/infer", json.dumps({"inputs": [record]}).encode())
    assert answer.status == 400
    assert "mean texture" in answer.json()["received"]


@pytest.mark.parametrize("years", [1, 2, 31, 365])
def test_a_flow_that_does_not_change_stays_about_what_it_was(
    client: triton.InferenceServerClient, years: int
) -> None:
    told = client.infer("nile", [floats("flow", [[700.0] * years, [1000.0] * years])]).as_numpy("next_flow")
    assert told.shape == (2, 1)
    assert 600 < told[0, 0] < told[1, 0] < 1100


def test_no_year_at_all_is_refused(client: triton.InferenceServerClient) -> None:
    with pytest.raises(triton.InferenceServerException, match="1 to 10000 years"):
        client.infer("nile", [floats("flow", np.zeros((2, 0)))])


def test_dates_of_different_lengths_are_read_in_one_call(client: triton.InferenceServerClient) -> None:
    written = {
        "20210302": b"2021-03-02",
        "Wednesday, the 3rd of March 2021": b"2021-03-03",
        " 24.  DEZEMBER 1999 ": b"1999-12-24",
        "el 7 de julio de 1955": b"1955-07-07",
    }
    together = client.infer("dates", [texts("text", *written)])
    assert together.as_numpy("date").tolist() == list(written.values())
    alone = [client.infer("dates", [texts("text", text)]).as_numpy("confidence")[0] for text in written]
    np.testing.assert_allclose(together.as_numpy("confidence"), alone, atol=1e-4)
