"""Keys, tenants and a ledger in moto's DynamoDB, and the events of an authoriser."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from moto import mock_aws

from hotplate.aws.key_table import KeyTable
from hotplate.aws.ledger import Ledger
from hotplate.tenants.keys import Key, Tenant, digest_of, new_key, read_scopes
from hotplate_tools.local.authoriser import authoriser_event
from hotplate_tools.local.gateway import Request, match_route
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.isolation import defined_routes
from hotplate_tools.local.template import Route
from hotplate_tools.project import project_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REGION = "us-east-1"
DOCUMENT = read_yaml(project_root() / "template.yaml")
ROUTES = [
    Route(event["Properties"]["Method"], event["Properties"]["Path"], name)
    for name, resource in DOCUMENT["Resources"].items()
    # What is there under a condition only is not there by default.
    if resource["Type"] == "AWS::Serverless::Function" and "Condition" not in resource
    for event in resource["Properties"].get("Events", {}).values()
    if event["Type"] == "Api"
] + [
    Route(each.method, each.path, each.function)
    for each in defined_routes(DOCUMENT["Resources"]["Api"]["Properties"])
]


class Tables(NamedTuple):
    """The template's tables, made."""

    client: Any
    keys: KeyTable
    ledger: Ledger


@contextmanager
def tables() -> Iterator[Tables]:
    """Make the template's tables, under their logical ids."""
    with mock_aws():
        yield made_tables(boto3.client("dynamodb", REGION))


def made_tables(client: Any) -> Tables:
    """Make the template's tables by a client."""
    for name, resource in DOCUMENT["Resources"].items():
        if resource["Type"] == "AWS::DynamoDB::Table":
            taken = ("AttributeDefinitions", "BillingMode", "KeySchema")
            client.create_table(TableName=name, **{each: resource["Properties"][each] for each in taken})
    return Tables(client, KeyTable(client, "KeyTable"), Ledger(client, "LedgerTable"))


def add_tenant(made: Tables, name: str, **limits: int | None) -> Tenant:
    """Add a tenant without a usage plan."""
    tenant = Tenant(name, f"usage-key-of-{name}", 50.0, 100, **limits)
    made.keys.put_tenant(tenant)
    return tenant


def add_key(
    made: Tables,
    tenant: str,
    scopes: Sequence[str] = ("*:*",),
    *,
    expires: int | None = None,
    revoked: int | None = None,
) -> str:
    """Add a key and return it."""
    secret = new_key()
    made.keys.add_key(
        Key(digest_of(secret), tenant, read_scopes(scopes), 1, expires=expires, revoked=revoked)
    )
    return secret


def event_of(method: str, path: str, *headers: tuple[str, str]) -> dict[str, Any]:
    """Return the authoriser's event for a request, as it is routed by the template."""
    found = match_route(ROUTES, method, path)
    assert found, (method, path)
    route, parameters = found
    return authoriser_event(
        Request(method, path, headers),
        resource=route.resource,
        path_parameters=parameters,
        stage="live",
        request_id="r",
    )
