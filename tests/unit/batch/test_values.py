"""Numbers of every datatype, through text and back: the rules of a request's elements, row by row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hotplate.protocol.datatypes import DATATYPES
from hotplate.protocol.types import MetadataTensor
from tests.support.batch_rows import Array, manifest_of, model_of, parquet_of, predict_file, table_of

NUMBERS = [row for row in DATATYPES if row.dtype.kind in "fiu"]


def same(inputs: Any) -> Any:
    return {"y": inputs["x"]}


def model(name: str, shape: tuple[int, ...] = (-1,)) -> Any:
    specs = (MetadataTensor("x", name, shape),), (MetadataTensor("y", name, shape),)  # type: ignore[arg-type]
    return model_of(same, manifest_of(*specs))


def values_of(dtype: np.dtype[Any]) -> st.SearchStrategy[Array]:
    finite: Any = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    return arrays.arrays(dtype, st.integers(1, 12), elements=arrays.from_dtype(dtype, **finite))


@pytest.mark.parametrize("datatype", NUMBERS, ids=lambda row: row.name)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_numbers_come_back_bit_for_bit(datatype: Any, data: st.DataObject) -> None:
    array = data.draw(values_of(datatype.dtype))
    wide = array.astype(np.float64) if datatype.dtype.kind == "f" else array
    csv = predict_file(
        "".join(["x\n", *(f"{x!r}\n" for x in wide.tolist())]).encode(), "f.csv", model(datatype.name)
    )
    lines = "".join(json.dumps({"x": x}) + "\n" for x in wide.tolist())
    jsonl = predict_file(lines.encode(), "f.jsonl", model(datatype.name))
    parquet = predict_file(parquet_of({"x": wide}), "f.parquet", model(datatype.name))
    found = [
        [datatype.dtype.type(text) for text in csv.body.decode().split()[1:]],
        [datatype.dtype.type(json.loads(line)["y"]) for line in jsonl.body.splitlines()],
        table_of(parquet.body)["y"],
    ]
    for one in found:
        assert np.array(one, datatype.dtype).tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("UINT8", 256, "numbers from 0 to 255 for UINT8|<= 255"),
        ("INT8", -129, "numbers from -128 to 127 for INT8|>= -128"),
        ("UINT64", -1, "whole number for UINT64|>= 0"),
        ("UINT64", 2**64, "whole number for UINT64|numbers from 0 to"),
        ("INT32", 1.5, "whole number for INT32|`int`, got `float`"),
        ("FP16", 1e6, "numbers from -65504.0 to 65504.0 for FP16"),
    ],
)
def test_a_number_that_the_datatype_cannot_hold_fails_its_row(name: str, value: float, words: str) -> None:
    import re

    for data, file in ((f"x\n1\n{value}\n", "f.csv"), (f'{{"x": 1}}\n{{"x": {value}}}\n', "f.jsonl")):
        outcome = predict_file(data.encode(), file, model(name))
        (error,) = outcome.errors
        assert (error.row, outcome.predicted) == (1, 1)
        assert re.search(words, error.reason)


def test_whole_numbers_reach_a_float_as_jsons_do() -> None:
    # Rounded to FP64 first and then to FP32, it is one digit off from what it would be at once.
    number = 2**53 + 2**29 + 1
    parquet = predict_file(parquet_of({"x": np.array([number])}), "f.parquet", model("FP32"))
    jsonl = predict_file(f'{{"x": {number}}}\n'.encode(), "f.jsonl", model("FP32"))
    assert np.array([number]).astype(np.float32)[0] != np.float32(np.float64(number))
    found = [table_of(parquet.body)["y"][0], np.float32(json.loads(jsonl.body)["y"])]
    assert found == [np.float32(np.float64(number))] * 2


def test_booleans() -> None:
    outcome = predict_file(b"x\ntrue\nFALSE\n1\n0\nyes\n\n", "f.csv", model("BOOL"))
    assert outcome.body == b"y\ntrue\nfalse\ntrue\nfalse\n"
    assert outcome.bad_rows == [4]
    outcome = predict_file(b'{"x": true}\n{"x": 1}\n', "f.jsonl", model("BOOL"))
    assert (outcome.body, outcome.bad_rows) == (b'{"y":true}\n', [1])


def test_nested_values_keep_their_shape() -> None:
    data = b'{"x": [[1, 2], [3, 4]]}\n{"x": [1, 2, 3, 4]}\n'
    outcome = predict_file(data, "f.jsonl", model("FP32", (-1, 2, 2)))
    assert outcome.body == b'{"y":[[1.0,2.0],[3.0,4.0]]}\n'
    assert outcome.bad_rows == [1]


def test_one_number_is_as_good_as_a_list_of_it() -> None:
    outcome = predict_file(b'{"x": 1}\n{"x": [2]}\n{"x": [2, 3]}\n', "f.jsonl", model("FP32", (-1, 1)))
    assert outcome.body == b'{"y":[1.0]}\n{"y":[2.0]}\n'
    assert outcome.bad_rows == [2]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_rows_of_several_lengths_are_asked_apart_and_stay_in_order(kind: str) -> None:
    import arro3.core as arrow

    rows = [[1.0], [2.0, 3.0], [4.0, 5.0], [], [6.0]]
    if kind == "jsonl":
        data = "".join(json.dumps({"x": row}) + "\n" for row in rows).encode()
    elif kind == "csv":
        data = "".join(["x\n", *(f'"{row}"\n' for row in rows)]).encode()
    else:
        flat = arrow.Array(np.array([each for row in rows for each in row], np.float64))
        offsets = arrow.Array(np.cumsum([0, *map(len, rows)]).astype(np.int32))
        data = parquet_of({"x": arrow.list_array(offsets, flat)}, group_rows=3)
    one = model("FP32", (-1, -1))
    outcome = predict_file(data, f"f.{kind}", one)
    if kind == "jsonl":
        found = [json.loads(line)["y"] for line in outcome.body.splitlines()]
    elif kind == "csv":
        found = [json.loads(line.strip('"')) for line in outcome.body.decode().splitlines()[1:]]
    else:
        found = table_of(outcome.body)["y"]
    assert found == rows
    assert max(one.predictor.rows) == 2


def test_lists_of_the_wrong_length_fail_their_rows_of_parquet() -> None:
    import arro3.core as arrow

    flat, offsets = arrow.Array(np.arange(8.0)), arrow.Array(np.array([0, 3, 5, 8], np.int32))
    data = parquet_of({"x": arrow.list_array(offsets, flat)})
    outcome = predict_file(data, "f.parquet", model("FP32", (-1, 3)))
    assert outcome.bad_rows == [1]
    assert table_of(outcome.body)["y[0]"] == [0.0, 5.0]


def test_texts_come_back_and_wide_outputs_are_lists() -> None:
    def spread(inputs: Any) -> Any:
        return {"y": np.repeat(inputs["x"].reshape(-1, 1), 70, axis=1)}

    one = model_of(
        spread, manifest_of((MetadataTensor("x", "BYTES", (-1,)),), (MetadataTensor("y", "BYTES", (-1, 70)),))
    )
    outcome = predict_file("x\nä\n".encode(), "f.csv", one)
    assert json.loads(outcome.body.decode().splitlines()[1].strip('"').replace('""', '"')) == ["ä"] * 70
    outcome = predict_file(parquet_of({"x": ["ä", "b"]}), "f.parquet", one)
    assert table_of(outcome.body)["y"] == [["ä"] * 70, ["b"] * 70]
