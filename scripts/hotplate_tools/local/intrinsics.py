"""A CloudFormation template as data: YAML with its short tags read, intrinsic functions resolved.

Rules kept: a value is resolved only when it is asked for, so a template may hold anything in the
parts that nobody reads; what cannot be resolved here raises and is never guessed.

Known: Ref, Fn::Sub, Fn::GetAtt, Fn::If, Fn::Join, Fn::FindInMap, Fn::Equals, Fn::And, Fn::Or,
Fn::Not, Condition and the pseudo parameters. Not known: every other function, macros, imports.

Source: AWS CloudFormation template reference, "Intrinsic functions" and "Pseudo parameters".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["NO_VALUE", "PSEUDO_PARAMETERS", "Resolver", "parse_yaml", "read_yaml"]

PSEUDO_PARAMETERS: Mapping[str, str] = {
    "AWS::AccountId": "012345678912",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "hotplate",
    "AWS::URLSuffix": "amazonaws.com",
}

NO_VALUE = object()

_PLACEHOLDER = re.compile(r"\$\{(!?)([^}]+)\}")
# Short tags whose long name has no "Fn::" in front.
_BARE = {"Ref", "Condition"}


class _Loader(yaml.SafeLoader):
    """YAML with `!Ref x` read as `{"Ref": "x"}` and `!Sub x` as `{"Fn::Sub": "x"}`."""


def _short_tag(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)  # noqa: S101 - YAML has three kinds of node
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in _BARE else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _short_tag)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the template in `path`, short tags in their long form.

    Raises:
        FailedError: It is absent, or no YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as fault:
        raise FailedError(f"{path} cannot be read as a template: {fault}") from fault
    return parse_yaml(text, str(path))


def parse_yaml(text: str, place: str) -> dict[str, Any]:
    """Return the template `text`, short tags in their long form.

    Args:
        text: Of the template.
        place: Where it is from, for errors.

    Raises:
        FailedError: It is no YAML mapping.
    """
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as fault:
        raise FailedError(f"{place} cannot be read as a template: {fault}") from fault
    if not isinstance(document, dict):
        raise FailedError(f"{place} is not a template: it holds {type(document).__name__}, not a mapping")
    return document


class Resolver:
    """Resolves values of one template.

    Args:
        document: The template.
        parameters: Values that override the parameters' defaults.
        resources: What `Ref` of a resource (`Id`) or `GetAtt` (`Id.Attribute`) gives.
    """

    def __init__(
        self, document: Mapping[str, Any], parameters: Mapping[str, str], resources: Mapping[str, str]
    ) -> None:
        declared = document.get("Parameters", {})
        unknown = sorted(set(parameters) - set(declared))
        if unknown:
            raise FailedError(
                f"the template has no parameter {', '.join(unknown)}",
                advice=f"It has {', '.join(declared) or 'none'}.",
            )
        self._declared = declared
        self._parameters = parameters
        self._resources = resources
        self._conditions = document.get("Conditions", {})
        self._mappings = document.get("Mappings", {})
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::Sub": self._sub,
            "Fn::GetAtt": lambda parts: self._resource(".".join(parts)),
            "Fn::If": self._if,
            "Fn::Join": lambda args: self.value(args[0]).join(str(part) for part in self.value(args[1])),
            "Fn::FindInMap": self._find_in_map,
            "Fn::Equals": lambda args: str(self.value(args[0])) == str(self.value(args[1])),
            "Fn::And": lambda args: all(self.value(each) for each in args),
            "Fn::Or": lambda args: any(self.value(each) for each in args),
            "Fn::Not": lambda args: not self.value(args[0]),
            "Condition": self.condition,
        }

    def value(self, node: Any) -> Any:
        """Return `node` with every intrinsic function in it resolved; AWS::NoValue entries are left out.

        Raises:
            FailedError: It needs a function, parameter or resource that is not known here.
        """
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument) = next(iter(node.items()))
            if name in self._functions:
                return self._functions[name](argument)
            if str(name).startswith("Fn::"):
                raise FailedError(f"{name} in the template is not understood by the runtime harness")
        resolved = {key: self.value(item) for key, item in node.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def condition(self, name: str) -> bool:
        """Return whether the template's condition `name` holds."""
        if name not in self._conditions:
            raise FailedError(f"the template has no condition {name}")
        return bool(self.value(self._conditions[name]))

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO_PARAMETERS:
            return PSEUDO_PARAMETERS[name]
        if name not in self._declared:
            return self._resource(name)
        declared = self._declared[name]
        value = self._parameters.get(name, declared.get("Default"))
        if value is None:
            raise FailedError(f"the template's parameter {name} has no default and no value was given")
        is_list = declared.get("Type") == "CommaDelimitedList" and isinstance(value, str)
        return [part.strip() for part in value.split(",")] if is_list else value

    def _resource(self, name: str) -> str:
        if name not in self._resources:
            raise FailedError(
                f"the template refers to {name}, which the runtime harness does not make",
                advice="Give its name in `resources`, or leave out the functions that use it.",
            )
        return self._resources[name]

    def _sub(self, argument: Any) -> str:
        text, local = (argument, {}) if isinstance(argument, str) else argument

        def one(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in local:
                return str(self.value(local[name]))
            return self._resource(name) if "." in name else str(self._ref(name))

        return _PLACEHOLDER.sub(one, text)

    def _if(self, argument: list[Any]) -> Any:
        name, then, otherwise = argument
        return self.value(then if self.condition(name) else otherwise)

    def _find_in_map(self, argument: list[Any]) -> Any:
        table, first, second = map(self.value, argument)
        try:
            return self._mappings[table][first][second]
        except KeyError as fault:
            raise FailedError(f"the template's mapping {table} has no {first} / {second}") from fault
