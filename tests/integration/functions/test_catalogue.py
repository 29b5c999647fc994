"""The catalogue with a registry, and with one that cannot be listed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws


@dataclass
class Context:
    aws_request_id: str = "req-1"
    function_name: str = "catalogue"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:catalogue"


def get(app: ModuleType, path: str) -> tuple[int, dict[str, Any]]:
    event = {"httpMethod": "GET", "path": path, "headers": {}, "requestContext": {"requestId": "r"}}
    result = app.lambda_handler(event, Context())
    return result["statusCode"], json.loads(result["body"])


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The function as Lambda imports it, over a registry that holds digits."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HOTPLATE_BUCKET", "models")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="models")
        s3.put_object(Bucket="models", Key="models/digits/aliases/live.json", Body=b"{}")
        import functions.catalogue.app as module

        yield importlib.reload(module)


def empty_bucket_away() -> None:
    s3 = boto3.client("s3")
    s3.delete_object(Bucket="models", Key="models/digits/aliases/live.json")
    s3.delete_bucket(Bucket="models")


def test_server_says_what_it_is(app: ModuleType) -> None:
    assert get(app, "/v2")[1]["extensions"] == ["binary_tensor_data"]
    assert get(app, "/v2/health/live") == (200, {"live": True})
    assert get(app, "/v2/health/ready") == (200, {"ready": True})


def test_unknown_model_is_told_what_is_here(app: ModuleType) -> None:
    status, body = get(app, "/v2/models/nope/infer")
    assert status == 404
    assert body["error"] == "unknown model 'nope'; this server has: digits"


def test_unknown_path_is_a_404(app: ModuleType) -> None:
    status, body = get(app, "/v2/nothing")
    assert (status, body["type"]) == (404, "urn:hotplate:error:UnknownPathError")


def test_registry_that_cannot_be_listed_is_not_ready_and_the_callers_404_stays_one(app: ModuleType) -> None:
    empty_bucket_away()
    assert get(app, "/v2/health/ready") == (503, {"ready": False})
    status, body = get(app, "/v2/models/nope/infer")
    assert (status, body["error"]) == (404, "unknown model 'nope'")
