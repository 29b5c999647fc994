"""What is read from a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hotplate_tools.failures import FailedError
from hotplate_tools.local.intrinsics import Resolver, read_yaml
from hotplate_tools.local.template import Function, Route, read_template
from tests.support.tiny_function import write_tiny_application

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT: dict[str, Any] = {
    "Parameters": {
        "Size": {"Default": 3},
        "Names": {"Type": "CommaDelimitedList", "Default": "a, b"},
        "Open": {},
    },
    "Conditions": {
        "IsThree": {"Fn::Equals": [{"Ref": "Size"}, "3"]},
        "IsNot": {"Fn::Not": [{"Condition": "IsThree"}]},
    },
    "Mappings": {"Map": {"x": {"y": "found"}}},
}


@pytest.fixture
def resolver() -> Resolver:
    return Resolver(DOCUMENT, {}, {"Table": "table-1", "Table.Arn": "arn:table-1"})


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"Ref": "Size"}, 3),
        ({"Ref": "Names"}, ["a", "b"]),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Ref": "Table"}, "table-1"),
        ({"Fn::GetAtt": ["Table", "Arn"]}, "arn:table-1"),
        ({"Fn::Sub": "${Table.Arn}/${Size}/${!Kept}"}, "arn:table-1/3/${Kept}"),
        ({"Fn::Sub": ["${Own}", {"Own": {"Ref": "Size"}}]}, "3"),
        ({"Fn::If": ["IsThree", "yes", "no"]}, "yes"),
        ({"a": {"Fn::If": ["IsNot", 1, {"Ref": "AWS::NoValue"}]}, "b": 2}, {"b": 2}),
        ([{"Ref": "AWS::NoValue"}, 1], [1]),
        ({"Fn::Join": ["-", ["a", {"Ref": "Size"}]]}, "a-3"),
        ({"Fn::FindInMap": ["Map", "x", "y"]}, "found"),
        ({"Fn::Or": [{"Condition": "IsNot"}, {"Condition": "IsThree"}]}, True),
        ({"Fn::And": [{"Condition": "IsNot"}, {"Condition": "IsThree"}]}, False),
    ],
    ids=str,
)
def test_intrinsic_function_is_resolved(resolver: Resolver, node: Any, expected: Any) -> None:
    assert resolver.value(node) == expected


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"Fn::ImportValue": "x"}, "Fn::ImportValue"),
        ({"Ref": "Missing"}, "Missing, which the runtime harness does not make"),
        ({"Ref": "Open"}, "Open has no default"),
        ({"Fn::If": ["Nothing", 1, 2]}, "no condition Nothing"),
        ({"Fn::FindInMap": ["Map", "x", "z"]}, "no x / z"),
    ],
    ids=str,
)
def test_what_cannot_be_resolved_is_named(resolver: Resolver, node: Any, message: str) -> None:
    with pytest.raises(FailedError, match=message):
        resolver.value(node)


def test_parameter_that_the_template_lacks_is_refused() -> None:
    with pytest.raises(FailedError, match="no parameter Sise"):
        Resolver(DOCUMENT, {"Sise": "4"}, {})


def test_short_tags_are_read_in_their_long_form(tmp_path: Path) -> None:
    file = tmp_path / "template.yaml"
    file.write_text(
        "a: !GetAtt B.Arn\nb: !Sub '${C}'\nc: !If [X, !Ref Y, {z: !Condition W}]\n", encoding="utf-8"
    )
    assert read_yaml(file) == {
        "a": {"Fn::GetAtt": ["B", "Arn"]},
        "b": {"Fn::Sub": "${C}"},
        "c": {"Fn::If": ["X", {"Ref": "Y"}, {"z": {"Condition": "W"}}]},
    }


def test_function_is_read_with_globals_and_parameters(tmp_path: Path) -> None:
    path = write_tiny_application(tmp_path)
    template = read_template(path, parameters={"Memory": "300"}, bucket="models", functions=["TinyFunction"])
    assert template.functions == {
        "TinyFunction": Function(
            logical_id="TinyFunction",
            name="TinyFunction",
            handler="app.handler",
            runtime="python3.13",
            architecture="x86_64",
            code=tmp_path / "TinyFunction",
            layers=(tmp_path / "LowerLayer", tmp_path / "UpperLayer"),
            environment={"BUCKET": "models"},
            memory_mb=300,
            timeout_s=2,
            ephemeral_mb=512,
            reserved_concurrency=4,
        )
    }
    assert template.routes == (
        Route("GET", "/do", "TinyFunction"),
        Route("POST", "/rest/{proxy+}", "TinyFunction"),
        Route("POST", "/stream", "TinyFunction", is_streamed=True, timeout_s=60.0),
    )
    assert (template.stage, template.has_authorizer) == ("live", False)


def test_function_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="no function Missing"):
        read_template(write_tiny_application(tmp_path), parameters={}, bucket="b", functions=["Missing"])


def test_function_that_is_not_built_is_named(tmp_path: Path) -> None:
    path = write_tiny_application(tmp_path)
    (tmp_path / "BrokenFunction" / "app.py").unlink()
    (tmp_path / "BrokenFunction").rmdir()
    with pytest.raises(FailedError, match="BrokenFunction is not built"):
        read_template(path, parameters={}, bucket="b")
