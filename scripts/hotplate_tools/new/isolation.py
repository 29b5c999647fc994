"""A model's block in the template, changed so that Lambda can keep each tenant's environments apart.

What Lambda excludes beside tenant isolation goes: SnapStart, provisioned concurrency, and the init modes
that stand for them. Its routes move from its events, whose integrations SAM writes alone, into the API's own
definition, where they tell Lambda the tenant that the authoriser found; API Gateway's right to call the
function, which SAM made with each event, is written out. Whether tenants are isolated stays a parameter.

Text is changed, so comments and layout stay as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hotplate_tools.failures import RefusedError
from hotplate_tools.local.isolation import CONDITION, LISTED
from hotplate_tools.naming import logical_prefix, module_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["with_isolation"]

_MODES = "AllowedValues: [init, first-invoke, snap-start, provisioned]"
_DESCRIBED = "; docs/13-init-modes.md explains each."
_TENANCY = f"""\
      # Neither SnapStart nor provisioned concurrency: Lambda has no such environments for each tenant.
      TenancyConfig: !If [{CONDITION}, {{TenantIsolationMode: PER_TENANT}}, !Ref AWS::NoValue]
"""
_INTEGRATION = """\
          {path}:
            {method}: &{anchor}
              x-amazon-apigateway-integration:
                type: aws_proxy
                httpMethod: POST
                uri: !Sub
                  - "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path{call}"
                  - Alias: !Ref {prefix}Function.Alias
                requestParameters: !If
                  - {condition}
                  - integration.request.header.X-Amz-Tenant-Id: context.authorizer.tenant
                  - !Ref AWS::NoValue
              responses: {{}}
"""
_CALL = "/2015-03-31/functions/${Alias}/invocations"
_API = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}"
_PERMISSION = """
  # Its routes are in the API's definition, so the right to call it is written here.
  {prefix}Permission:
    Type: AWS::Lambda::Permission
    Properties:
      Action: lambda:InvokeFunction
      FunctionName: !Ref {prefix}Function.Alias
      Principal: apigateway.amazonaws.com
      SourceArn: !Sub "{api}/*/*/v2/models/{name}*"
"""


def with_isolation(text: str, document: Mapping[str, Any], name: str) -> str:
    """Return the template `text` with the block of model `name` able to isolate tenants.

    Args:
        text: The template.
        document: The same, as `read_yaml` gives it.
        name: Of a model whose function's events are its routes.

    Raises:
        RefusedError: It streams its answers, isolates tenants already, or its block is unlike the others.
    """
    prefix = logical_prefix(name)
    properties = document["Resources"][f"{prefix}Function"]["Properties"]
    if "TenancyConfig" in properties:
        raise RefusedError(f"{prefix}Function isolates tenants already")
    routes = [each["Properties"] for each in properties.get("Events", {}).values()]
    if any("ResponseTransferMode" in each for each in routes):
        raise RefusedError(f"{prefix}Function streams its answers, and such cannot isolate tenants here")
    head, block, tail = _cut(text, f"  {prefix}Function:\n")
    block = _once(r" {6}SnapStart:\n.*\n", "", block)
    block = _once(r" {6}ProvisionedConcurrencyConfig: !If\n(?: {8}- .*\n){3}", _TENANCY, block)
    block = _once(r" {6}Events:\n(?: {8}.*\n)+", "", block)
    text = head + block.rstrip("\n") + "\n" + _PERMISSION.format(prefix=prefix, name=name, api=_API) + tail
    text = _once(rf"  SnapStarts{prefix}: .*\n  Provisions{prefix}: .*\n", "", text)
    text = _once(rf"  {prefix}ProvisionedConcurrency:\n(?:    .*\n)+", "", text)
    head, block, tail = _cut(text, f"  {prefix}InitMode:\n")
    block = block.replace(_MODES, "AllowedValues: [init, first-invoke]")
    text = head + block.replace(_DESCRIBED, "; docs/13-init-modes.md explains both.") + tail
    listed = rf"(?<={LISTED}: !If \[{CONDITION}, )\"([^\"]*)\""
    text = _once(listed, lambda found: f'"{f"{found[1]} {name}".strip()}"', text)
    whole = r" {10}/v2: \{\}\n(?: {10}.*\n)+"
    return _once(whole, lambda found: found[0] + _paths(name, prefix, routes), text)


def _paths(name: str, prefix: str, routes: list[dict[str, str]]) -> str:
    (first, *others), anchor = routes, module_name(name)
    written = _INTEGRATION.format(
        path=first["Path"],
        method=first["Method"].lower(),
        anchor=anchor,
        prefix=prefix,
        call=_CALL,
        condition=CONDITION,
    )
    return written + "".join(
        f'          "{each["Path"]}": {{{each["Method"].lower()}: *{anchor}}}\n' for each in others
    )


def _cut(text: str, line: str) -> tuple[str, str, str]:
    """Return what is before an entry, the entry that begins with `line`, and what is after it."""
    at = text.index(line)
    end = re.compile(r"\n(?=\n| {2}[\w#])").search(text, at + len(line))
    stop = end.end() if end else len(text)
    return text[:at], text[at:stop], text[stop:]


def _once(pattern: str, by: Any, text: str) -> str:
    changed, count = re.subn(pattern, by, text)
    if count != 1:
        raise RefusedError(f"the template has {count} places, not one, that match {pattern}")
    return changed
