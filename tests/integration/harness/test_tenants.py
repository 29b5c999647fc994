"""Tenants kept apart on AWS's own emulator and runtime, whose context says whose environment it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from hotplate_tools.console import Console
from hotplate_tools.local.harness import RuntimeHarness, runtime_harness
from tests.support.tiny_function import write_tiny_application

if TYPE_CHECKING:
    from collections.abc import Iterator

TENANCY = "      TenancyConfig: {TenantIsolationMode: PER_TENANT}\n"


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeHarness]:
    """The tiny function, which isolates tenants."""
    template = write_tiny_application(tmp_path_factory.mktemp("built"))
    text = template.read_text("utf-8")
    template.write_text(text.replace("      Timeout: 2\n", f"      Timeout: 2\n{TENANCY}"), "utf-8")
    with runtime_harness(
        Console(), bucket="b", s3_endpoint=None, parameters={}, template=template, functions=["TinyFunction"]
    ) as running:
        yield running


def call(harness: RuntimeHarness, **tenant: str) -> dict[str, Any]:
    client = boto3.client(
        "lambda",
        "us-east-1",
        endpoint_url=harness.lambda_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    call: Any = client.invoke  # tenants are newer than its types
    answer = call(FunctionName="TinyFunction", Payload=json.dumps({"do": "whose"}), **tenant)
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    return result


def test_each_tenant_has_environments_of_its_own_and_the_runtime_says_whose(apart: RuntimeHarness) -> None:
    answers = [call(apart, TenantId=tenant) for tenant in ("acme", "globex", "acme", "globex", "acme")]
    assert [(each["tenant"], each["count"]) for each in answers] == [
        ("acme", 1),
        ("globex", 1),
        ("acme", 2),
        ("globex", 2),
        ("acme", 3),
    ]
    assert [each.tenant for each in apart.environments("TinyFunction")] == ["acme", "globex"]


def test_call_without_a_tenant_is_refused(apart: RuntimeHarness) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValueException"):
        call(apart)


def test_tenant_is_refused_where_none_is_isolated(harness: RuntimeHarness) -> None:
    assert call(harness)["tenant"] is None
    with pytest.raises(ClientError, match="InvalidParameterValueException"):
        call(harness, TenantId="acme")
