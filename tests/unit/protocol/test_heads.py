"""The JSON part of a binary request is remembered: what is answered must not depend on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotplate.errors import RequestError
from hotplate.protocol import request as request_module
from tests.unit.protocol.payloads import binary_entry, body_of, declare, decode_binary, entry

HEADS = request_module._HEADS


@pytest.fixture(autouse=True)
def no_heads() -> Iterator[None]:
    HEADS.clear()
    yield
    HEADS.clear()


def head(size: int = 8, **more: Any) -> bytes:
    return body_of(binary_entry("FP32", [2], size), **more)


def floats(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def test_same_head_with_other_elements() -> None:
    values = [decode_binary(head(), floats(*pair)).inputs[0].array.tolist() for pair in ((1, 2), (3, 4))]
    assert values == [[1, 2], [3, 4]]
    assert len(HEADS) == 1


def test_same_head_for_another_signature_is_read_again() -> None:
    decode_binary(head(), floats(1, 2))
    with pytest.raises(RequestError, match="shape"):
        decode_binary(head(), floats(1, 2), declare(shape=(3,)))


def test_remembered_head_still_needs_its_bytes() -> None:
    decode_binary(head(), floats(1, 2))
    for tail in (b"", floats(1), floats(1, 2, 3)):
        with pytest.raises(RequestError):
            decode_binary(head(), tail)


def test_head_with_elements_in_it_is_not_remembered() -> None:
    mixed = body_of(entry(shape=[1], data=[1]), {**binary_entry("FP32", [2], 8), "name": "b"})
    decode_binary(mixed, floats(1, 2), declare(), declare(name="b"))
    assert not HEADS


def test_memory_is_bounded() -> None:
    for number in range(200):
        decode_binary(head(id=str(number)), floats(1, 2))
        assert len(HEADS) <= request_module._MAX_HEADS
    decode_binary(head(id="x" * 2000), floats(1, 2))
    assert not any(len(raw) > request_module._MAX_HEAD_BYTES for raw, _, _ in HEADS)


def test_refused_head_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(RequestError, match="a member twice"):
            decode_binary(head()[:-1] + b',"id":"a","id":"b"}', floats(1, 2))
    assert not HEADS


MEMBERS = st.dictionaries(
    st.sampled_from(["id", "parameters", "outputs", "other"]),
    st.sampled_from([None, "a", 1, {}, {"binary_data_output": True}, [], [{"name": "y"}], [{"name": "z"}]]),
)


@given(MEMBERS, st.sampled_from([4, 8, 9]), st.binary(min_size=4, max_size=9))
def test_second_time_is_as_the_first(members: dict[str, Any], size: int, tail: bytes) -> None:
    def outcome() -> Any:
        try:
            seen = decode_binary(head(size, **members), tail)
        except RequestError as fault:
            return type(fault), str(fault)
        return json.dumps([seen.id, dict(seen.parameters)]), seen.outputs, seen.inputs[0].array.tobytes()

    HEADS.clear()
    assert outcome() == outcome()
