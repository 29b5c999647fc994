"""What the diabetes model does around its graph."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from functions.diabetes.model import COLUMNS, SCALER, transforms
from hotplate.errors import MalformedRequestError, RequestError, ValueRangeError

MEAN, SCALE = list(range(10)), [2.0] * 10
STEPS = transforms({SCALER: json.dumps({"mean": MEAN, "scale": SCALE}).encode()})
PATIENT = dict.fromkeys(COLUMNS, 4)


def scaled(*records: Any) -> Any:
    array = np.empty(len(records), object)
    array[:] = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in records]
    return STEPS.preprocess({"record": array})["scaled"]


def test_matrix_and_records_are_the_same_patient() -> None:
    features = np.arange(10, 20, dtype=np.float32)[None]
    shuffled = dict(reversed(list(zip(COLUMNS, features[0].tolist(), strict=True))))
    found = STEPS.preprocess({"features": features})["scaled"]
    assert (found.dtype, found.tolist()) == (np.float32, [[5.0] * 10])
    assert scaled(shuffled).tolist() == found.tolist()


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (b"fifty", r"record\[1\]: expected a JSON object, got no JSON"),
        (b"\xff", "got no JSON"),
        (b"[" * 100_000, "got no JSON"),
        ([1, 2], "got a list"),
        ({}, "got one without age, sex, bmi, bp, s1, s2, s3, s4, s5, s6"),
        ({**PATIENT, "weight": 1}, "got 1 names more"),
        ({**PATIENT, "bmi": "32"}, r"record\[1\]\.bmi: expected a number, got text"),
        ({**PATIENT, "sex": True}, "got true or false"),
        ({**PATIENT, "s6": None}, "got null"),
    ],
)
def test_record_that_is_none_is_refused(record: Any, what: str) -> None:
    with pytest.raises(MalformedRequestError, match=what):
        scaled(PATIENT, record)


@pytest.mark.parametrize("text", ["NaN", "1e999", "-Infinity", "1" + "0" * 400, "1e35"])
def test_number_without_end_is_refused_by_its_column(text: str) -> None:
    raw = json.dumps({**PATIENT, "bp": 0}).replace('"bp": 0', f'"bp": {text}').encode()
    with pytest.raises(ValueRangeError, match="bp"):
        scaled(raw)


def test_no_patients_are_no_rows() -> None:
    assert scaled().shape == (0, 10)


@pytest.mark.parametrize("raw", [b"{}", b"x", json.dumps({"mean": [1], "scale": [1]}).encode()])
def test_asset_that_is_no_scale_is_refused(raw: bytes) -> None:
    with pytest.raises((LookupError, ValueError)) as refused:
        transforms({SCALER: raw})
    assert not isinstance(refused.value, RequestError)
