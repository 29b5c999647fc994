"""What the breast-cancer model does around its graph; no session."""

from __future__ import annotations

import json

import numpy as np
import pytest

from functions.breast_cancer.model import COLUMNS, postprocess, preprocess
from hotplate.errors import MalformedRequestError, ValueRangeError


def test_thirty_columns_have_thirty_names() -> None:
    assert len(set(COLUMNS)) == 30
    assert (COLUMNS[0], COLUMNS[17], COLUMNS[29]) == (
        "mean radius",
        "concave points error",
        "worst fractal dimension",
    )


def test_a_record_is_fed_like_its_row() -> None:
    row = np.arange(30, dtype=np.float32)[None] / 8
    record = json.dumps(dict(zip(COLUMNS, row[0].tolist(), strict=True))).encode()
    by_name = preprocess({"record": np.array([record], object)})["input"]
    assert by_name.dtype == np.float32
    np.testing.assert_array_equal(by_name, preprocess({"features": row})["input"])


@pytest.mark.parametrize("value", [-0.5, np.nan, np.inf])
def test_what_nobody_can_measure_is_refused_by_its_name(value: float) -> None:
    features = np.ones((2, 30), np.float32)
    features[1, 3] = value
    with pytest.raises(ValueRangeError, match="mean area of row 1"):
        preprocess({"features": features})


def test_a_record_with_another_name_is_refused() -> None:
    record = json.dumps(dict.fromkeys([*COLUMNS[:-1], "radius"], 1.0)).encode()
    with pytest.raises(MalformedRequestError, match="worst fractal dimension"):
        preprocess({"record": np.array([record], object)})


def test_diagnosis_is_the_more_probable_and_malignant_in_doubt() -> None:
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]], np.float32)
    outputs = postprocess({"label": np.array([1, 0, 1]), "probabilities": probabilities})
    assert outputs["diagnosis"].tolist() == [b"benign", b"malignant", b"malignant"]
    assert set(outputs) == {"probabilities", "diagnosis"}
