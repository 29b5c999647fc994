from typing import Any

import pytest

from hotplate.protocol.types import MetadataTensor
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.graph import Graph
from hotplate_tools.publish.model_yaml import ModelSpec
from hotplate_tools.publish.signature import refuse_disagreement
from tests.support.tiny_models import spec_of


def graph(inputs: tuple[int, ...] = (-1, 3), outputs: tuple[int, ...] = (-1, 3)) -> Graph:
    return Graph(b"", {}, (MetadataTensor("x", "FP32", inputs),), (MetadataTensor("y", "FP32", outputs),))


def spec(**changes: Any) -> ModelSpec:
    return ModelSpec.model_validate(spec_of(**changes))


def tensor(name: str, shape: list[int], datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, **more}


@pytest.mark.parametrize(
    ("changes", "has_transforms"),
    [
        ({}, False),
        ({"inputs": [tensor("x", [5, 3])]}, False),
        ({"inputs": [tensor("picture", [-1], "BYTES")]}, True),
        ({"outputs": [tensor("y", [-1, 3]), tensor("best", [-1], "INT64")]}, True),
        ({"labels": {"y": ["a", "b", "c"]}}, False),
    ],
    ids=[
        "the same",
        "an open dimension fixed",
        "another input",
        "one more output",
        "as many labels as classes",
    ],
)
def test_what_agrees_is_accepted(changes: dict[str, Any], has_transforms: bool) -> None:
    refuse_disagreement(spec(**changes), graph(), has_transforms=has_transforms)


@pytest.mark.parametrize(
    ("changes", "has_transforms", "words"),
    [
        ({"inputs": [tensor("x", [-1, 3], "FP64")]}, True, "FP64"),
        ({"inputs": [tensor("x", [-1, 4])]}, True, r"\[-1, 4\]"),
        ({"inputs": [tensor("x", [-1, -1])]}, True, r"\[-1, -1\]"),
        ({"inputs": [tensor("x", [-1])]}, True, r"\[-1\]"),
        ({"outputs": [tensor("y", [-1, 3], "INT64")]}, True, "INT64"),
        ({"inputs": [tensor("picture", [-1], "BYTES")]}, False, "picture"),
        ({"outputs": [tensor("best", [-1], "INT64")], "labels": {}}, False, "best"),
        ({"outputs": [tensor("y", [-1, 3], one_of="y")]}, True, "one_of"),
        ({"labels": {"z": ["a"]}}, True, "'z'"),
        ({"labels": {"y": ["a", "b"]}}, True, "2 labels"),
    ],
    ids=[
        "input datatype",
        "fixed dimension",
        "fixed dimension opened",
        "rank",
        "output datatype",
        "input of nobody",
        "output of nobody",
        "one_of of an output",
        "labels of nothing",
        "too few labels",
    ],
)
def test_what_disagrees_is_refused_and_named(
    changes: dict[str, Any], has_transforms: bool, words: str
) -> None:
    with pytest.raises(RefusedError, match=words):
        refuse_disagreement(spec(**changes), graph(), has_transforms=has_transforms)


def test_input_that_the_graph_needs_must_be_declared() -> None:
    both = Graph(b"", {}, (*graph().inputs, MetadataTensor("mask", "BOOL", (-1,))), graph().outputs)
    with pytest.raises(RefusedError, match="mask"):
        refuse_disagreement(spec(), both, has_transforms=False)
