"""What the dates model does around its graph: a graph that is made up here reads the digits off the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from functions.dates.model import DIGITS, MAX_BYTES, START, preprocess, transforms
from hotplate.errors import MalformedRequestError, ValueRangeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    Array = np.ndarray[Any, Any]


def objects(*elements: bytes) -> Array:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array


class Reader:
    """Stands for the graph: after T digits it says, for sure, the one at place T of the text."""

    def __init__(self, score: float = 50.0) -> None:
        self.calls: list[tuple[int, ...]] = []
        self.score = score

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        source, target = feeds["source"], feeds["target"]
        assert (target[:, 0] == START).all()
        self.calls.append(target.shape)
        scores = np.zeros((*target.shape, 10), np.float32)
        for place in range(target.shape[1]):
            if place:
                assert (target[:, place] == source[:, place - 1] - 1 - ord("0")).all()
            digits = source[:, place] - 1 - ord("0")
            scores[np.arange(len(source)), place, digits] = self.score
        return {"logits": scores}


def test_digits_are_written_one_a_run_each_from_those_before() -> None:
    graph = Reader()
    outputs = transforms({}).apply({"text": objects(b"20210302", b"19991231")}, graph)
    assert outputs["date"].tolist() == [b"2021-03-02", b"1999-12-31"]
    assert graph.calls == [(2, 1 + digits) for digits in range(DIGITS)]


def test_confidence_is_the_product_of_the_digits_probabilities() -> None:
    outputs = transforms({}).apply({"text": objects(b"20210302")}, Reader(score=3.0))
    one = np.exp(3.0) / (np.exp(3.0) + 9)
    assert outputs["confidence"].dtype == np.float32
    assert outputs["confidence"].tolist() == pytest.approx([one**8])


@pytest.mark.parametrize("digits", [b"20210230", b"20211301", b"00000101", b"20210300"])
def test_a_day_that_no_calendar_has_is_no_answer(digits: bytes) -> None:
    assert transforms({}).apply({"text": objects(digits)}, Reader())["date"].tolist() == [b""]


def test_no_texts_are_no_dates_and_no_run() -> None:
    graph = Reader()
    outputs = transforms({}).apply({"text": objects()}, graph)
    assert (outputs["date"].shape, outputs["confidence"].shape, graph.calls) == ((0,), (0,), [])


def test_texts_are_bytes_plus_one_in_lower_case_and_filled_up() -> None:
    source = preprocess({"text": objects("  3  MÄRZ\u00a021 ".encode(), b"20210302" * 2)})["source"]
    assert source.shape == (2, 16)
    assert bytes((source[0, :10] - 1).tolist()).decode() == "3 märz 21"
    assert source[0, 10:].tolist() == [0] * 6


@pytest.mark.parametrize("text", [b"", b" \t", b"x" * (MAX_BYTES + 1), "é".encode() * 33])
def test_a_text_of_no_or_too_many_bytes_is_refused_by_its_place(text: bytes) -> None:
    with pytest.raises(ValueRangeError, match=r"text\[1\]: expected 1 to 64 bytes"):
        preprocess({"text": objects(b"20210302", text)})


def test_a_text_that_is_not_utf8_is_refused_by_its_place() -> None:
    with pytest.raises(MalformedRequestError, match=r"text\[0\].*0xff at 2"):
        preprocess({"text": objects(b"3 \xff")})
