"""The interpreter of steps: what each kind answers, and whose fault a fault is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotplate.errors import (
    InferenceError,
    PayloadTooLargeError,
    RequestError,
    ShapeMismatchError,
    StepError,
    StepUnavailableError,
    ValueRangeError,
)
from hotplate.manifest.steps import Step
from hotplate.protocol.types import MetadataTensor
from hotplate.runtime.pipeline import Steps
from tests.support.pipelines import KIND, Constant, Scaled, member, pipeline

ROWS = {"x": np.array([[1, 2, 3], [4, 5, 6]], np.float32)}
WORD = MetadataTensor("word", "BYTES", (-1,))


def words(*texts: bytes) -> Any:
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


class Refusing:
    """A predictor that raises."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def run(self, inputs: Any, wanted: Any) -> Any:
        raise self.fault


def chain(first: Any = None, second: Any = None) -> Steps:
    steps = pipeline(
        Step("first", {"x": "input.x"}, model="a"),
        Step("second", {"x": "first.y"}, model="b"),
        results={"y": "second.y"},
        members=[member("a"), member("b")],
    )
    return Steps(steps, {"a": first or Scaled(2), "b": second or Scaled(5)}, {})


def one(step: Step, members: dict[str, Any], output: Any, **code: Any) -> Steps:
    signature = [member(name, output) for name in members]
    return Steps(pipeline(step, results={"y": f"all.{output.name}"}, members=signature), members, code)


def test_sequence_hands_on_what_the_step_before_gave() -> None:
    np.testing.assert_array_equal(chain().run(ROWS, ["y"])["y"], ROWS["x"] * 10)


def test_member_is_asked_for_what_is_wired_only() -> None:
    asked = Scaled(2)
    chain(asked).run(ROWS, ["y"])
    assert asked.wanted == [["y"]]


def test_mean_is_of_all_members() -> None:
    step = Step("all", {"x": "input.x"}, ensemble=("a", "b", "c"), combine="mean")
    steps = one(step, {"a": Scaled(1), "b": Scaled(2), "c": Scaled(6)}, MetadataTensor("y", "FP32", (-1, 3)))
    found = steps.run(ROWS, ["y"])["y"]
    np.testing.assert_array_equal(found, ROWS["x"] * 3)
    assert found.dtype == np.float32


def test_vote_is_the_most_frequent_and_of_a_tie_the_earliest_members() -> None:
    step = Step("all", {"x": "input.x"}, ensemble=("a", "b", "c"), combine="vote")
    members = {
        "a": Constant(word=words(b"cat", b"cat", b"cat")),
        "b": Constant(word=words(b"dog", b"dog", b"cat")),
        "c": Constant(word=words(b"dog", b"owl", b"cat")),
    }
    assert one(step, members, WORD).run(ROWS, ["y"])["y"].tolist() == [b"dog", b"cat", b"cat"]


def test_ensemble_of_answers_in_other_shapes_is_a_step_error() -> None:
    step = Step("all", {"x": "input.x"}, ensemble=("a", "b"), combine="vote")
    members = {"a": Constant(word=words(b"cat")), "b": Constant(word=words(b"dog", b"dog"))}
    with pytest.raises(StepError, match="step 'all': its members answer 'word' in other shapes"):
        one(step, members, WORD).run(ROWS, ["y"])


def switch(value: Any, otherwise: str | None = None) -> Steps:
    steps = pipeline(
        Step("first", {"x": "input.x"}, model="sort"),
        Step("all", {"x": "input.x"}, switch={"0": "a", "1": "b"}, by="first.kind", otherwise=otherwise),
        results={"y": "all.y"},
        members=[member("sort", KIND), member("a"), member("b"), member("c")],
    )
    members: dict[str, Any] = {"sort": Constant(kind=value), "a": Scaled(2), "b": Scaled(3), "c": Scaled(4)}
    return Steps(steps, members, {})


@pytest.mark.parametrize(("value", "factor"), [(0, 2), (1, 3), (7, 4)])
def test_switch_runs_the_member_of_the_value_and_no_other(value: int, factor: int) -> None:
    steps = switch(np.array([value]), otherwise="c")
    np.testing.assert_array_equal(steps.run(ROWS, ["y"])["y"], ROWS["x"] * factor)
    asked = [name for name, each in steps._members.items() if isinstance(each, Scaled) and each.wanted]
    assert len(asked) == 1


def test_switch_without_a_member_for_the_value_is_a_step_error() -> None:
    with pytest.raises(StepError, match="step 'all'"):
        switch(np.array([7])).run(ROWS, ["y"])


def test_switch_on_the_callers_value_is_the_callers_fault() -> None:
    step = Step("all", {"x": "input.x"}, switch={"en": "a"}, by="input.language")
    steps = one(step, {"a": Scaled(2)}, MetadataTensor("y", "FP32", (-1, 3)))
    with pytest.raises(RequestError, match=r"step 'all', value of 'input.language': expected one of 'en'"):
        steps.run(ROWS | {"language": words(b"fr")}, ["y"])


def test_switch_goes_by_one_element() -> None:
    with pytest.raises(StepError, match="has 2 elements"):
        switch(np.array([0, 1])).run(ROWS, ["y"])


def code_step(function: Any) -> Steps:
    steps = pipeline(
        Step("half", {"x": "input.x"}, code="half", outputs=("x",)),
        Step("first", {"x": "half.x"}, model="a"),
        results={"y": "first.y"},
        members=[member("a")],
    )
    return Steps(steps, {"a": Scaled(2)}, {"half": function})


def test_code_runs_between_members() -> None:
    found = code_step(lambda inputs: {"x": inputs["x"] / np.float32(2)}).run(ROWS, ["y"])
    np.testing.assert_array_equal(found["y"], ROWS["x"])


def test_code_gets_no_input_that_did_not_come() -> None:
    found = code_step(lambda inputs: {"x": inputs.get("x", np.ones((1, 3), np.float32))}).run({}, ["y"])
    np.testing.assert_array_equal(found["y"], [[2, 2, 2]])


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({"z": 1}, r"returned \['z'\], \['x'\] are declared"),
        ({"x": np.ones((1, 3))}, r"input 'x' of a: expected FP32 \[-1, 3\], got float64"),
        ({"x": np.ones((1, 4), np.float32)}, r"got float32 \[1, 4\]"),
    ],
    ids=["name", "dtype", "shape"],
)
def test_code_is_held_to_its_names_and_to_what_its_reader_takes(returned: Any, words: str) -> None:
    with pytest.raises(StepError, match=words):
        code_step(lambda inputs: returned).run(ROWS, ["y"])


def test_code_that_breaks_is_a_step_error_that_tells_nothing_internal() -> None:
    def broken(inputs: Any) -> Any:
        raise KeyError("secret")

    with pytest.raises(StepError) as caught:
        code_step(broken).run(ROWS, ["y"])
    assert str(caught.value) == "step 'half': its code failed"
    assert "secret" in repr(caught.value.__cause__.__cause__)  # type: ignore[union-attr]


def test_code_may_refuse_the_callers_values() -> None:
    def refusing(inputs: Any) -> Any:
        raise ShapeMismatchError("x", expected="one row", received="2")

    with pytest.raises(ShapeMismatchError, match=r"^x: expected one row"):
        code_step(refusing).run(ROWS, ["y"])


FAULT = ValueRangeError("x[0]", expected="a letter", received="a digit")


def test_refusal_of_the_callers_own_values_is_the_callers_fault_and_names_the_step() -> None:
    with pytest.raises(ValueRangeError, match=r"step 'first', x\[0\]: expected a letter, got a digit"):
        chain(first=Refusing(FAULT)).run(ROWS, ["y"])


def test_refusal_of_what_a_step_gave_is_ours() -> None:
    with pytest.raises(StepError, match="step 'second': what came from the steps before was refused"):
        chain(second=Refusing(FAULT)).run(ROWS, ["y"])


def test_too_many_bytes_are_the_callers_wherever() -> None:
    large = PayloadTooLargeError("request to b", expected="at most 9 bytes", received="10 bytes")
    with pytest.raises(PayloadTooLargeError, match="step 'second', request to b"):
        chain(second=Refusing(large)).run(ROWS, ["y"])


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (InferenceError("node 7"), StepError),
        (StepError("b failed"), StepError),
        (StepUnavailableError("b is not ready"), StepUnavailableError),
    ],
)
def test_fault_of_a_member_names_the_step(fault: Exception, kind: type[Exception]) -> None:
    with pytest.raises(StepError, match=r"^step 'second'") as caught:
        chain(second=Refusing(fault)).run(ROWS, ["y"])
    assert type(caught.value) is kind
    assert "node 7" not in str(caught.value)
