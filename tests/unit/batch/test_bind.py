from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotplate.errors import UnfitFileError
from hotplate.protocol.types import MetadataTensor
from tests.support.batch_rows import Outcome, manifest_of, model_of, predict_file

SUM = MetadataTensor("sum", "FP32", (-1,))
X2 = MetadataTensor("x", "FP32", (-1, 2))
TEXT = MetadataTensor("text", "BYTES", (-1,))


def summed(inputs: Any) -> Any:
    first = next(iter(inputs.values()))
    if first.dtype == object:
        return {"sum": np.array([len(text) for text in first.ravel()], np.float32)}
    # The second element counts ten times, so that a wrong order shows.
    return {
        "sum": (first.reshape(len(first), -1) * [1, 10][: first.size // len(first)]).sum(axis=1).astype("f4")
    }


def ask(data: str, *inputs: MetadataTensor, name: str = "f.csv", **options: Any) -> Outcome:
    return predict_file(data.encode(), name, model_of(summed, manifest_of(inputs, (SUM,))), **options)


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("a,b", {}),
        ("x[0],x[1]", {}),
        ("a,b", {"columns": {"a": "x", "b": "x"}}),
        ("a,b", {"columns": {"b": "x[1]", "a": "x[0]"}}),
    ],
    ids=["by place", "by name of elements", "told", "told by element"],
)
def test_columns_become_the_elements_of_an_input(header: str, options: dict[str, Any]) -> None:
    assert ask(f"{header}\n1,2\n", X2, **options).body == b"sum\n21.0\n"


def test_elements_can_be_told_in_another_order_than_the_files() -> None:
    assert ask("a,b\n1,2\n", X2, columns={"a": "x[1]", "b": "x[0]"}).body == b"sum\n12.0\n"


@pytest.mark.parametrize("name", ["x", "other"])
def test_one_column_can_hold_an_array(name: str) -> None:
    options: dict[str, Any] = {} if name == "x" else {"columns": {"other": "x"}}
    outcome = ask(f'{name}\n"[1, 2]"\n"[1]"\n"[1, ""a""]"\nno\n', X2, **options)
    assert outcome.body == b"sum\n21.0\n"
    assert [error.row for error in outcome.errors] == [1, 2, 3]


def test_one_column_of_text_is_the_text_input() -> None:
    assert ask('whatever\nhello\n"two\nlines"\n', TEXT, header=True).body == b"sum\n5.0\n9.0\n"


def test_what_is_kept_is_no_input() -> None:
    outcome = ask("a,id,b\n1,7,2\n", X2, keep=("id",))
    assert outcome.body == b"id,sum\n7,21.0\n"


def test_a_column_can_be_kept_and_asked() -> None:
    outcome = ask("a,b\n1.50,2\n", X2, columns={"a": "x", "b": "x"}, keep=("a",))
    assert outcome.body == b"a,sum\n1.50,21.5\n"
    lines = ask('{"x": [1.50, 2]}\n', X2, name="f.jsonl", keep=("x",))
    assert lines.body == b'{"x":[1.50, 2],"sum":21.5}\n'


def test_members_of_objects_can_be_elements() -> None:
    data = '{"a": 1, "b": 2, "c": null}\n{"a": 1, "b": "2"}\n'
    outcome = ask(data, X2, name="f.jsonl", columns={"a": "x[0]", "b": "x[1]"})
    assert outcome.body == b'{"sum":21.0}\n'
    assert [(error.row, error.field) for error in outcome.errors] == [(1, "b")]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    assert ask(f"a{delimiter}b\n1.5{delimiter}2\n", X2).body == b"sum\n21.5\n"


def test_a_dialect_can_be_told() -> None:
    data = "1:'2'\n"
    assert ask(data, X2, delimiter=":", quote="'", header=False).body == b"21.0\n"


@pytest.mark.parametrize(
    ("header", "options", "words"),
    [
        ("a,b,c", {}, "no column is input 'x' .one column, or 2.; the file has 'a', 'b', 'c'"),
        ("a,b", {"columns": {"z": "x"}}, "column 'z' is to be 'x'; the file has 'a', 'b'"),
        ("a,b", {"columns": {"a": "q"}}, "column 'a' is to be 'q'; rows has 'x'"),
        ("a,b", {"columns": {"a": "x[0]", "b": "x[2]"}}, "not each of them is one"),
        ("a,b", {"columns": {"a": "x[0]", "b": "x[0]"}}, "not each of them is one"),
        ("a,b", {"columns": {"a": "x", "b": "x[0]"}}, "as a whole, and elements"),
        ("a,b,c", {"columns": {"a": "x", "b": "x", "c": "x"}}, "3 columns are to be 'x'"),
        ("a,b", {"keep": ("z",)}, "column 'z' is to be kept"),
        ("a,b,c", {"keep": ("c", "c")}, "kept twice"),
        ("a,a", {"keep": ("a",)}, "column 'a' is to be kept"),
        ("a,b", {"outputs": ("z",)}, "output 'z' is wanted; rows has 'sum'"),
        ("a,sum,b", {"keep": ("sum",)}, "two columns 'sum'"),
    ],
)
def test_what_does_not_fit_is_told(header: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UnfitFileError, match=words):
        ask(f"{header}\n{','.join('1' * (header.count(',') + 1))}\n", X2, **options)


def test_inputs_of_one_choice_do_not_come_together() -> None:
    a, b = (MetadataTensor(name, "FP32", (-1,), one_of="form") for name in "ab")
    assert ask("a\n5\n", a, b).body == b"sum\n5.0\n"
    with pytest.raises(
        UnfitFileError, match="exactly one of input 'a' or input 'b' was expected, got columns"
    ):
        ask("a,b\n5,6\n", a, b)
    with pytest.raises(UnfitFileError, match="got none"):
        ask("c,d\n5,6\n", a, b)


def test_a_model_of_closed_first_axis_takes_no_rows() -> None:
    with pytest.raises(UnfitFileError, match="first axis is not open"):
        ask("x\n1\n", MetadataTensor("x", "FP32", (1,)))
