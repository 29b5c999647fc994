from dataclasses import dataclass
from typing import Any, cast

import pytest

from hotplate.manifest.schema import Considered, VariantKind
from hotplate_tools.optimise.choice import Tried, notes_of, record_of, smallest_first, why_not
from hotplate_tools.optimise.evaluation import Call, Evaluation
from hotplate_tools.optimise.quality import Yardstick

RULE = Yardstick("y", "accuracy", "expected", ())
ROWS = Evaluation("rows.npz", "a" * 64, (Call({}, {}, 500),), (), are_targets=True)


@dataclass
class Form:
    """As much of a form as the rules look at."""

    size: int


@dataclass
class ServedForm:
    portable: Form
    native: Form | None = None


def tried(kind: VariantKind, size: int, loss: float, native: int | None = None) -> Tried:
    form = ServedForm(Form(size), None if native is None else Form(native))
    return Tried(kind, cast("Any", form), RULE, 0.9 - loss, loss)


def test_fewest_bytes_come_first_then_least_loss() -> None:
    found = [tried("int8", 30, 0.02), tried("fp16", 50, 0.0), tried("int4", 30, 0.01)]
    assert [one.kind for one in smallest_first(found)] == ["int4", "int8", "fp16"]
    assert [one.kind for one in smallest_first(found[::-1])] == ["int4", "int8", "fp16"]


def test_bytes_are_those_that_this_processor_fetches() -> None:
    assert tried("int8", 30, 0.0, native=40).size == 40


@pytest.mark.parametrize(
    ("loss", "size", "smaller", "said"),
    [
        (0.01, 99, None, None),
        (-0.5, 99, None, None),
        (0.010001, 99, None, "dropped: loses 0.010001 of accuracy, allowed is 0.01"),
        (0.0, 100, None, "not smaller than the float form"),
        (0.0, 99, "int8", "passed, but int8 is smaller"),
        (0.5, 99, "int8", "dropped: loses 0.5"),
    ],
)
def test_verdict(loss: float, size: int, smaller: VariantKind | None, said: str | None) -> None:
    taken = tried(smaller, 50, 0.0) if smaller else None
    found = why_not(tried("int4", size, loss), 0.01, 100, taken)
    assert found is said or (found is not None and said is not None and found.startswith(said))


def test_record_says_what_was_asked_and_found() -> None:
    one = tried("int8", 30, 0.25)
    record = record_of(one, {"int8": Considered("taken")}, {"y": 0.9}, 100, 0.3, ROWS)
    assert record is not None
    assert (record.kind, record.metric, record.output, record.reference) == (
        "int8",
        "accuracy",
        "y",
        "expected",
    )
    assert (record.quality, record.float_quality, record.loss, record.budget) == (0.65, 0.9, 0.25, 0.3)
    assert (record.rows, record.rows_sha256, record.bytes, record.float_bytes) == (500, "a" * 64, 30, 100)
    assert record_of(None, {}, {"y": 0.9}, 100, 0.3, ROWS) is None


def test_publisher_is_told_why_nothing_was_taken_and_when_rows_are_few() -> None:
    few = Evaluation("few.npz", "a" * 64, (Call({}, {}, 99),), (), are_targets=True)
    assert notes_of(tried("int8", 1, 0.0), {}, 0.01, ROWS) == ()
    told = notes_of(None, {"int8": Considered("dropped: loses 0.5 of accuracy")}, 0.01, few)
    assert told[0].startswith("the float form is published")
    assert "int8: dropped: loses 0.5 of accuracy" in told[0]
    assert "99 rows of few.npz" in told[1]
