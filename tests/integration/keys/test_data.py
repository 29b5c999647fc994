"""`hotplate data`: what was kept about a subject is deleted, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from hotplate.tenants.captures import capture_key
from hotplate_tools.cli import cli
from hotplate_tools.failures import FailedError
from hotplate_tools.keys.data import delete_under
from tests.support.callers import REGION

BUCKET = "data"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        client = boto3.client("s3", REGION)
        client.create_bucket(Bucket=BUCKET)
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {"DataBucketName": {"Value": BUCKET}},
        }
        boto3.client("cloudformation", REGION).create_stack(
            StackName="hotplate", TemplateBody=json.dumps(template)
        )
        yield client


def put(client: Any, tenant: str, subject: str, request: str) -> str:
    key = capture_key(tenant, subject, "digits", request, 0)
    client.put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    return key


def keys(client: Any) -> set[str]:
    return {each["Key"] for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False, standalone_mode=False)
    return json.loads(done.stdout)


def test_what_is_about_a_subject_is_deleted_and_nothing_else(s3: Any) -> None:
    for request in ("1", "2"):
        put(s3, "acme", "jane", request)
    others = {put(s3, "acme", "jan", "3"), put(s3, "globex", "jane", "4"), put(s3, "acme", "", "5")}
    command = ("data", "delete-by-subject", "acme", "jane")
    assert run(*command, "--dry-run") == {"tenant": "acme", "objects": 2, "deleted": False}
    assert len(keys(s3)) == 5
    assert run(*command) == {"tenant": "acme", "objects": 2, "deleted": True}
    assert keys(s3) == others
    assert run(*command)["objects"] == 0


def test_more_than_a_page_is_deleted(s3: Any) -> None:
    for number in range(1005):
        s3.put_object(Bucket=BUCKET, Key=f"captures/a/b/{number}", Body=b"")
    assert delete_under(s3, BUCKET, "captures/a/b/", dry_run=False) == 1005
    assert keys(s3) == set()


def test_stack_that_is_not_there_is_named(s3: Any) -> None:
    with pytest.raises(FailedError, match="the stack other"):
        run("data", "delete-by-subject", "acme", "jane", "--stack", "other")
