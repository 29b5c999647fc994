"""template.yaml, read once, and the questions that its tests ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.isolation import defined_routes
from hotplate_tools.project import project_root

DOCUMENT = read_yaml(project_root() / "template.yaml")
RESOURCES: dict[str, dict[str, Any]] = DOCUMENT["Resources"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")
ROLES = of_type("AWS::IAM::Role")
DEFINED_ROUTES = list(defined_routes(RESOURCES["Api"]["Properties"]))


def statements(role: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            # What holds under a condition only is looked at as if it held, and so is its opposite.
            sides = statement["Fn::If"][1:] if "Fn::If" in statement else [statement]
            yield from (side for side in sides if side != {"Ref": "AWS::NoValue"})


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def routes(function: str) -> set[tuple[str, str]]:
    """Return the function's routes: its events, and what the API's definition has for it."""
    events = FUNCTIONS[function].get("Events", {}).values()
    own = {(each["Properties"]["Method"], each["Properties"]["Path"]) for each in events}
    return own | {(each.method, each.path) for each in DEFINED_ROUTES if each.function == function}
