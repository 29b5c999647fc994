"""Rows by column name: what is read, and what each wrong record is told."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hotplate.errors import MalformedRequestError, RequestError, ValueRangeError
from hotplate.runtime.records import read_records, refuse_unfinite

COLUMNS = ("age", "bmi")


def read(*records: Any) -> Any:
    raw = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    array = np.empty(len(raw), object)
    array[:] = raw
    return read_records(array, COLUMNS)


def test_columns_are_found_by_name_in_any_order() -> None:
    rows = read({"age": 1, "bmi": 2.5}, {"bmi": -3e5, "age": 4})
    assert rows.dtype == np.float64
    assert rows.tolist() == [[1.0, 2.5], [4.0, -3e5]]


def test_no_records_are_no_rows() -> None:
    assert read().shape == (0, 2)


@pytest.mark.parametrize(
    ("record", "place", "received"),
    [
        (b"{", "record[1]", "no JSON"),
        (b"\xff", "record[1]", "no JSON"),
        (b"[" * 100_000, "record[1]", "no JSON"),
        ([1, 2], "record[1]", "a list"),
        ("age", "record[1]", "text"),
        ({"age": 1}, "record[1]", "one without bmi"),
        ({}, "record[1]", "one without age, bmi"),
        ({"age": 1, "bmi": 2, "weight": 3}, "record[1]", "1 names more"),
        ({"age": 1, "bmi": "2"}, "record[1].bmi", "text"),
        ({"age": None, "bmi": 2}, "record[1].age", "null"),
        ({"age": True, "bmi": 2}, "record[1].age", "true or false"),
        ({"age": {}, "bmi": 2}, "record[1].age", "an object"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_record_that_is_none_is_refused_by_its_place(record: Any, place: str, received: str) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        read({"age": 1, "bmi": 2}, record)
    assert str(refused.value).startswith(f"{place}: ")
    assert refused.value.received == received


def test_an_integer_of_a_thousand_digits_is_refused() -> None:
    with pytest.raises(ValueRangeError, match=r"record\[0\]\.age"):
        read(b'{"bmi": 1, "age": 1' + b"0" * 1000 + b"}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e38])
def test_a_number_that_a_graph_cannot_use_is_refused_by_column_and_row(value: float) -> None:
    with pytest.raises(RequestError, match="bmi of row 1: expected a finite number"):
        refuse_unfinite(np.array([[1.0, 2.0], [3.0, value]]), COLUMNS)


def test_nan_in_json_reaches_the_second_check() -> None:
    with pytest.raises(ValueRangeError, match="age of row 0"):
        refuse_unfinite(read(b'{"age": NaN, "bmi": 1}'), COLUMNS)
