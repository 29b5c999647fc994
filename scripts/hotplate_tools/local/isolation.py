"""Tenant isolation in a template: what Lambda excludes beside it, and what it needs to be worth anything.

Lambda keeps each tenant's execution environments apart where a function has `TenancyConfig`, and is told with
each call whose it is. It excludes SnapStart, provisioned concurrency, function URLs, and every event source
but API Gateway; it cannot be changed after a function was made.

Rules of our own: each route of such a function hands on the tenant that the authoriser found; the model is
in `HOTPLATE_ISOLATED`, by which its callers know that they have to name the tenant, and nothing else is; no
split pipeline calls it, because a member is not told whose request it works on.

Source: AWS Lambda Developer Guide, "Tenant isolation"; AWS CloudFormation, `AWS::Lambda::Function`
(`TenancyConfig`); API Gateway OpenAPI extensions, `x-amazon-apigateway-integration.requestParameters`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CONDITION", "HEADER", "LISTED", "SOURCE", "DefinedRoute", "defined_routes", "isolation_faults"]

# Names in the template: of the condition, and of the variable that lists the models.
CONDITION, LISTED = "IsolatesTenants", "HOTPLATE_ISOLATED"
# What API Gateway puts the tenant into, and where it has it from.
HEADER, SOURCE = "integration.request.header.X-Amz-Tenant-Id", "context.authorizer.tenant"

_INTEGRATION = "x-amazon-apigateway-integration"
_FUNCTION = "AWS::Serverless::Function"
# Whom an integration calls: a function of the template, or its alias.
_CALLED = re.compile(r"""(\w+)(?:\.|",\s*")(?:Alias|Arn)\b""")
_GATEWAY = ("Api", "HttpApi")
# Properties that Lambda does not combine with tenant isolation, in words.
_EXCLUDED = {
    "SnapStart": "SnapStart",
    "ProvisionedConcurrencyConfig": "provisioned concurrency",
    "FunctionUrlConfig": "a function URL",
}
# Resources that call a function in a way that names no tenant.
_CALLERS = {"AWS::Lambda::EventSourceMapping": "FunctionName", "AWS::Lambda::Url": "TargetFunctionArn"}


class DefinedRoute(NamedTuple):
    """A route in an API's own definition.

    Attributes:
        method: Upper case.
        path: As in the definition.
        function: Logical id of whom it calls; "" of one that is no function of this template.
        parameters: What the integration is given beside the event, as written: with intrinsic functions.
    """

    method: str
    path: str
    function: str
    parameters: Any


def defined_routes(api: Mapping[str, Any]) -> Iterator[DefinedRoute]:
    """Yield the routes in the `DefinitionBody` of an API's properties."""
    for path, operations in (api.get("DefinitionBody", {}).get("paths") or {}).items():
        for method, operation in (operations or {}).items():
            integration = (operation or {}).get(_INTEGRATION)
            if integration is None:
                continue
            called = _CALLED.search(json.dumps(integration.get("uri"), default=str))
            parameters = integration.get("requestParameters", {})
            yield DefinedRoute(method.upper(), path, called[1] if called else "", parameters)


def isolation_faults(document: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with tenant isolation in a template, as `read_yaml` gives it."""
    resources: Mapping[str, Any] = document["Resources"]
    shared = document.get("Globals", {}).get("Function", {})
    functions = {
        name: {**shared, **each.get("Properties", {})}
        for name, each in resources.items()
        if each["Type"] == _FUNCTION
    }
    isolated = {name: each for name, each in functions.items() if "TenancyConfig" in each}
    faults = [fault for name, each in isolated.items() for fault in _excluded(name, each, resources)]
    faults += [fault for name in isolated for fault in _untold(name, resources)]
    faults += _split(isolated, functions)
    models = {each["Environment"]["Variables"].get("HOTPLATE_MODEL", name) for name, each in isolated.items()}
    listed = set(_listed(shared.get("Environment", {}).get("Variables", {}).get(LISTED, "")))
    faults += [f"{each} isolates tenants, and {LISTED} does not name it" for each in sorted(models - listed)]
    faults += [f"{LISTED} names {each}, which isolates no tenants" for each in sorted(listed - models)]
    return faults


def _excluded(name: str, properties: Mapping[str, Any], resources: Mapping[str, Any]) -> Iterator[str]:
    words = "tenant isolation excludes"
    for key, what in _EXCLUDED.items():
        if key in properties:
            yield f"{name}: {words} {what} ({key}), also under a condition"
    for event, each in properties.get("Events", {}).items():
        if each["Type"] not in _GATEWAY:
            yield f"{name}: {words} event sources other than API Gateway ({event}: {each['Type']})"
    for other, resource in resources.items():
        named = _CALLERS.get(resource["Type"])
        if named and _refers(resource["Properties"].get(named), name):
            yield f"{name}: {words} event sources other than API Gateway ({other}: {resource['Type']})"


def _untold(name: str, resources: Mapping[str, Any]) -> Iterator[str]:
    """Yield what reaches a function without naming a tenant."""
    events = resources[name]["Properties"].get("Events", {})
    for event, each in events.items():
        if each["Type"] in _GATEWAY:
            path = each["Properties"].get("Path")
            yield f"{name}: event {event} ({path}) hands on no tenant: SAM writes its integration alone"
    for api in (each for each in resources.values() if each["Type"] == "AWS::Serverless::Api"):
        for route in defined_routes(api["Properties"]):
            if route.function == name and _whenever_isolated(route.parameters).get(HEADER) != SOURCE:
                yield f"{name}: {route.method} {route.path} hands on no tenant ({HEADER}: {SOURCE})"


def _whenever_isolated(node: Any) -> Mapping[str, Any]:
    """Return integration parameters as they are where tenants are isolated."""
    if isinstance(node, dict) and "Fn::If" in node:
        condition, then, _ = node["Fn::If"]
        node = then if condition == CONDITION else {}
    return node if isinstance(node, dict) else {}


def _split(isolated: Mapping[str, Any], functions: Mapping[str, Any]) -> Iterator[str]:
    for name, each in functions.items():
        members = each.get("Environment", {}).get("Variables", {}).get("HOTPLATE_MEMBERS")
        for member in isolated:
            if members is not None and _refers(members, member):
                yield f"{member}: {name} calls it as a member of a split pipeline, which names no tenant"


def _listed(node: Any) -> list[str]:
    """Return the models that the variable lists where tenants are isolated."""
    if isinstance(node, dict) and "Fn::If" in node:
        condition, then, _ = node["Fn::If"]
        node = then if condition == CONDITION else ""
    return node.split() if isinstance(node, str) else []


def _refers(node: Any, name: str) -> bool:
    return re.search(rf"\b{name}\b", json.dumps(node, default=str)) is not None
