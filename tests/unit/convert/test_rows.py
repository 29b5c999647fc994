"""The inputs of the parity gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotplate.protocol.types import DatatypeName, MetadataTensor
from hotplate_tools.convert.rows import MAX_ROWS, made_up_cases, read_rows, row_cases
from hotplate_tools.failures import RefusedError

FLAT = (MetadataTensor("x", "FP32", (-1, 3)),)
IDS = (MetadataTensor("ids", "INT64", (-1, -1)), MetadataTensor("mask", "INT64", (-1, -1)))


def test_every_batch_size_is_asked() -> None:
    cases = made_up_cases(FLAT)
    assert [case.feeds["x"].shape for case in cases] == [(1, 3), (3, 3), (8, 3)]


def test_open_dimensions_take_several_lengths_and_agree_between_inputs() -> None:
    cases = made_up_cases(IDS)
    shapes = [case.feeds["ids"].shape for case in cases]
    assert shapes == [case.feeds["mask"].shape for case in cases]
    assert shapes == [(1, 12), (3, 12), (8, 12), (3, 5), (3, 33), (3, 65)]
    assert [case.label for case in cases][3] == "batch 3, length 5"


def test_fixed_signature_is_asked_once() -> None:
    (case,) = made_up_cases((MetadataTensor("x", "FP32", (2, 3)),))
    assert case.feeds["x"].shape == (2, 3)


@pytest.mark.parametrize("word", ["FP16", "FP32", "FP64", "INT8", "INT64", "UINT8", "BOOL", "BYTES"])
def test_same_seed_makes_the_same_rows(word: DatatypeName) -> None:
    inputs = (MetadataTensor("x", word, (-1, 4)),)
    for one, other in zip(made_up_cases(inputs), made_up_cases(inputs), strict=True):
        np.testing.assert_array_equal(one.feeds["x"], other.feeds["x"])
        assert one.feeds["x"].dtype == other.feeds["x"].dtype


def test_made_up_integers_are_in_every_table() -> None:
    assert {int(cell) for case in made_up_cases(IDS) for cell in case.feeds["ids"].flat} == {0, 1}


def test_rows_of_the_user_are_cut_and_repeated_to_every_size() -> None:
    rows = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
    cases = row_cases(FLAT, rows)
    assert [len(case.feeds["x"]) for case in cases] == [2, 1, 3, 8]
    np.testing.assert_array_equal(cases[2].feeds["x"], rows["x"][[0, 1, 0]])


def test_rows_of_the_user_are_repeated_to_other_lengths() -> None:
    ids = np.array([[7, 8, 9]], np.int64)
    case = row_cases(IDS, {"ids": ids, "mask": ids})[4]
    np.testing.assert_array_equal(case.feeds["ids"], [[7, 8, 9, 7, 8]] * 3)


def test_no_more_rows_than_the_cap_are_asked() -> None:
    assert len(row_cases(FLAT, {"x": np.zeros((MAX_ROWS + 9, 3), np.float32)})[0].feeds["x"]) == MAX_ROWS


def test_npz_rows_are_read_in_the_graphs_datatype(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.ones((2, 3)))
    rows = read_rows(tmp_path / "rows.npz", FLAT)
    assert (rows["x"].dtype, rows["x"].shape) == (np.float32, (2, 3))


def test_golden_rows_are_read_without_their_answers(tmp_path: Path) -> None:
    row = {"inputs": {"x": [[1, 2, 3]]}, "outputs": {"y": [[0]]}}
    (tmp_path / "golden.jsonl").write_text((json.dumps(row) + "\n") * 2)
    np.testing.assert_array_equal(read_rows(tmp_path / "golden.jsonl", FLAT)["x"], [[1, 2, 3]] * 2)


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"y": np.ones((2, 3))}, "hold y; the graph's inputs are x"),
        ({"x": np.ones((2, 4))}, r"'x' is \[2, 4\]"),
        ({"x": np.ones((0, 3))}, "at least one"),
        ({"x": np.full((2, 3), "a")}, "not FP32"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], what: str) -> None:
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(RefusedError, match=what):
        read_rows(tmp_path / "rows.npz", FLAT)


def test_pickled_rows_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.array([{"a": 1}], object))
    with pytest.raises(RefusedError, match="cannot be read"):
        read_rows(tmp_path / "rows.npz", FLAT)
