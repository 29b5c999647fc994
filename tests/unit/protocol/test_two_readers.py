"""Law: the fast reader of JSON numbers and the slow one give the same array, or refuse with the same words.

A document with an integer beyond 64 bits anywhere is read by the slow one, so a member that nobody looks at
chooses the reader.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hotplate.errors import RequestError
from hotplate.protocol.datatypes import DATATYPES
from hotplate.protocol.json_document import parse
from tests.unit.protocol.payloads import declare, decode

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**63), 2**64 - 1).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["1e308", "-0", "-0.0", "5e-324", "3.4028235677973366e38", "0.1", "1E+2"]),
)
OTHERS = st.sampled_from(["true", "null", '"1"', "[1]", "[]", "{}", "[[1]]"])
ROWS = st.lists(st.one_of(NUMBERS, NUMBERS, NUMBERS, OTHERS), max_size=6)
NUMERIC = [row.name for row in DATATYPES if row.name != "BYTES"]


def read(datatype: Any, shape: list[int], data: str, other: str) -> Any:
    head = f'"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}'
    body = f'{{"inputs":[{{{head}}}],"other":{other}}}'.encode()
    try:
        (tensor,) = decode(body, declare(datatype, (-1,) * len(shape))).inputs
    except RequestError as fault:
        return type(fault), str(fault)
    return tensor.array.dtype, tensor.array.shape, tensor.array.tobytes()


def test_other_member_chooses_the_reader() -> None:
    assert not isinstance(parse(b'{"other":1}'), dict)
    assert isinstance(parse(b'{"other":18446744073709551616}'), dict)


@given(st.sampled_from(NUMERIC), ROWS, st.integers(0, 1), st.booleans())
@example("FP32", ["1e39"], 0, False)
@example("INT8", ["128"], 0, False)
@example("INT32", ["1.0"], 0, False)
@example("FP64", ["1", "[2]"], 0, True)
def test_both_readers_agree(datatype: str, row: list[str], more: int, nested: bool) -> None:
    data = f"[{','.join(row)}]"
    shape = [1, len(row) + more] if nested else [len(row) + more]
    text = f"[{data}]" if nested else data
    assert read(datatype, shape, text, "1") == read(datatype, shape, text, "18446744073709551616")


@pytest.mark.parametrize("data", ["[1,2", "[1,,2]", "[01]", "[NaN]", "[1e999]", "[.5]", "[1.]", "[+1]"])
def test_what_is_no_number_is_refused_by_both(data: str) -> None:
    fast, slow = read("FP32", [1], data, "1"), read("FP32", [1], data, "18446744073709551616")
    assert fast[0] is slow[0]
    assert issubclass(fast[0], RequestError)
