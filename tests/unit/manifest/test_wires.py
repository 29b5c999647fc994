"""The rules of a pipeline's wires: each breach is refused, and says which step."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hotplate.errors import ManifestError
from hotplate.manifest.steps import Member, Step
from hotplate.manifest.wires import check_wires
from hotplate.protocol.types import MetadataTensor
from tests.support.pipelines import KIND, X, Y, member, pipeline

FIRST = Step("first", {"x": "input.x"}, model="a")
SECOND = Step("second", {"x": "first.y"}, model="b")
GOOD = pipeline(FIRST, SECOND, results={"y": "second.y"}, members=[member("a"), member("b")])


def test_chain_is_right() -> None:
    check_wires(GOOD, [X], [Y])


def step(base: Step = SECOND, **changes: Any) -> Step:
    return msgspec.structs.replace(base, **changes)


WIDE = Member("b", "1", "0" * 64, (MetadataTensor("x", "FP32", (-1, 4)),), (Y,))
HALVES = Member("b", "1", "0" * 64, (MetadataTensor("x", "FP16", (-1, 3)),), (Y,))
ENSEMBLE: dict[str, Any] = {"model": None, "ensemble": ("a", "b"), "combine": "mean"}
SWITCH: dict[str, Any] = {"model": None, "switch": {"0": "b"}, "by": "first.y"}

BROKEN: dict[str, tuple[list[Step], list[Member], dict[str, str], str]] = {
    "a later step": ([step(FIRST, inputs={"x": "second.y"}), SECOND], [], {}, "comes later"),
    "itself": ([FIRST, step(inputs={"x": "second.y"})], [], {}, "comes later, or is this one"),
    "no such output": ([FIRST, step(inputs={"x": "first.z"})], [], {}, "is not there"),
    "no such input": ([step(FIRST, inputs={"x": "input.z"}), SECOND], [], {}, "'input.z' is not there"),
    "not wired": ([FIRST, step(inputs={})], [], {}, "no inputs"),
    "wired too much": ([FIRST, step(inputs={"x": "first.y", "z": "input.x"})], [], {}, "wired are"),
    "another shape": ([FIRST, SECOND], [WIDE], {}, r"expected FP32 \[-1, 4\]"),
    "another datatype": ([FIRST, SECOND], [HALVES], {}, "expected FP16"),
    "a name twice": ([FIRST, step(FIRST)], [], {}, "the name is taken"),
    "the name of the inputs": ([FIRST, step(name="input")], [], {}, "the name is taken"),
    "two kinds": ([FIRST, step(code="c", outputs=("y",))], [], {}, "exactly one of"),
    "no kind": ([FIRST, step(model=None)], [], {}, "exactly one of"),
    "no member": ([FIRST, step(model="c")], [], {}, "'c' is no member"),
    "an idle member": ([FIRST, step(model="a")], [], {}, "member 'b' of the pipeline is in no step"),
    "an idle step": ([FIRST, SECOND], [], {"y": "first.y"}, "nothing takes what it gives"),
    "no result": ([FIRST, SECOND], [], {"z": "second.y"}, "results of a pipeline"),
    "an ensemble that is not combined": ([FIRST, step(**{**ENSEMBLE, "combine": None})], [], {}, "`combine`"),
    "a model twice": ([FIRST, step(**{**ENSEMBLE, "ensemble": ("b", "b")})], [], {}, "twice"),
    "a vote of numbers": ([FIRST, step(**{**ENSEMBLE, "combine": "vote"})], [], {}, "a vote of others"),
    "a switch on numbers": ([FIRST, step(**SWITCH)], [], {}, "whole values"),
    "a switch on nothing": ([FIRST, step(**{**SWITCH, "by": None})], [], {}, "`by`"),
    "otherwise without a switch": ([FIRST, step(otherwise="a")], [], {}, "`otherwise`"),
    "code without outputs": ([FIRST, step(model=None, code="c")], [], {}, "`outputs`"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_breach_is_refused(case: str) -> None:
    steps, others, results, words = BROKEN[case]
    members = {each.name: each for each in (member("a"), member("b"), *others)}
    broken = pipeline(*steps, results=results or {"y": "second.y"}, members=list(members.values()))
    with pytest.raises(ManifestError, match=words):
        check_wires(broken, [X], [Y])


def test_members_that_stand_in_for_each_other_have_one_signature() -> None:
    both = [member("a"), member("b", KIND)]
    ensemble = Step("all", {"x": "input.x"}, ensemble=("a", "b"), combine="mean")
    with pytest.raises(ManifestError, match="b and a take or give other tensors"):
        check_wires(pipeline(ensemble, results={"y": "all.y"}, members=both), [X], [Y])


def test_input_that_may_be_left_out_goes_to_code_only() -> None:
    optional = MetadataTensor("x", "FP32", (-1, 3), optional=True)
    with pytest.raises(ManifestError, match="may be left out"):
        check_wires(GOOD, [optional], [Y])
    code = Step("first", {"x": "input.x"}, code="first", outputs=("y",))
    only = pipeline(code, SECOND, results={"y": "second.y"}, members=[member("b")])
    check_wires(only, [optional], [Y])


def test_members_are_sorted() -> None:
    with pytest.raises(ManifestError, match="sorted"):
        check_wires(msgspec.structs.replace(GOOD, members=GOOD.members[::-1]), [X], [Y])
