"""The relay against a Lambda of its own: which function it calls, and what it says when it cannot."""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.support.lambda_api import LambdaApi, lambda_api
from tests.support.lambda_context import Context

ANSWER = {"statusCode": 200, "headers": {}, "body": "{}", "isBase64Encoded": False}


@pytest.fixture
def behind() -> Iterator[LambdaApi]:
    with lambda_api() as api:
        api.otherwise = ANSWER
        yield api


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, behind: LambdaApi) -> ModuleType:
    monkeypatch.setenv("HOTPLATE_FUNCTIONS", "digits=D:live,spam=S:live")
    monkeypatch.setenv("HOTPLATE_ISOLATED", "spam other")
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", behind.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    import functions.relay.app as module

    return importlib.reload(module)


def event(path: str, body: Any = None, **headers: str) -> dict[str, Any]:
    raw = base64.b64encode(json.dumps(body).encode()).decode()
    return {"httpMethod": "POST", "path": path, "headers": headers, "body": raw, "isBase64Encoded": True}


@pytest.mark.parametrize(
    ("sent", "function"),
    [
        (event("/v1/models/digits:predict"), "D"),
        (event("/v1/embeddings", {"model": "spam"}), "S"),
        (event("/openai/v1/embeddings", {"model": "spam"}), "S"),
        (event("/endpoints/digits/invocations"), "D"),
        (event("/invocations", **{"X-Amzn-SageMaker-Target-Model": "spam"}), "S"),
    ],
)
def test_event_goes_to_the_models_function_as_it_came(
    app: ModuleType, behind: LambdaApi, sent: dict[str, Any], function: str
) -> None:
    assert app.lambda_handler(sent, Context()) == ANSWER
    assert behind.asked == [(function, sent)]
    assert behind.paths == [f"/2015-03-31/functions/{function}/invocations?Qualifier=live"]


@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        (event("/v1/models/nope:predict"), 404, "unknown model 'nope'; this server has: digits, spam"),
        (event("/v1/embeddings", {"model": "nope"}), 404, "unknown model"),
        (event("/v1/embeddings", {"model": 3}), 400, "model"),
        (event("/v1/chat/completions", {"model": "spam"}), 404, "path"),
        (event("/v1/models/digits:train"), 404, "path"),
        (event("/invocations"), 400, "x-amzn-sagemaker-target-model"),
        ({}, 400, "event"),
    ],
)
def test_request_for_no_model_is_answered_here(
    app: ModuleType, behind: LambdaApi, sent: dict[str, Any], status: int, word: str
) -> None:
    result = app.lambda_handler(sent, Context())
    assert (result["statusCode"], result["headers"]["x-request-id"]) == (status, "req-1")
    assert word in json.loads(result["body"])["detail"]
    assert behind.asked == []


def by(caller: dict[str, str], sent: dict[str, Any]) -> dict[str, Any]:
    return {**sent, "requestContext": {"authorizer": {"tenant": "acme", "key": "k", **caller}}}


@pytest.mark.parametrize("path", ["/v1/models/spam:predict", "/endpoints/spam/invocations"])
def test_model_outside_the_callers_scopes_is_as_one_that_is_not_there(
    app: ModuleType, behind: LambdaApi, path: str
) -> None:
    result = app.lambda_handler(by({"scopes": "infer:digits read:spam"}, event(path)), Context())
    assert result["statusCode"] == 404
    assert "this server has: digits" in result["body"]
    assert behind.asked == []
    sent = by({"scopes": "infer:digits"}, event("/v1/models/digits:predict"))
    assert app.lambda_handler(sent, Context()) == ANSWER
    assert behind.asked[0][1] == sent


@pytest.mark.parametrize(("spent", "status"), [("quota", 429), ("budget", 402)])
def test_tenant_that_has_used_up_its_month_is_refused_before_a_model_is_asked(
    app: ModuleType, behind: LambdaApi, spent: str, status: int
) -> None:
    caller = {"scopes": "infer:*", "spent": spent, "spent_text": "used up"}
    assert (
        app.lambda_handler(by(caller, event("/endpoints/spam/invocations")), Context())["statusCode"]
        == status
    )
    assert behind.asked == []


def test_request_has_one_usage_line_by_whoever_answered(
    app: ModuleType, behind: LambdaApi, capsys: pytest.CaptureFixture[str]
) -> None:
    app.lambda_handler(event("/v1/models/digits:predict"), Context())
    behind.otherwise = 500
    app.lambda_handler(event("/v1/models/digits:predict"), Context())
    assert '"usage"' not in capsys.readouterr().out
    app.lambda_handler(by({"scopes": "infer:digits"}, event("/v1/models/nope:predict")), Context())
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines() if '"usage"' in each]
    assert (line["tenant"], line["status"], line["model"]) == ("acme", 404, None)


@pytest.mark.parametrize(
    ("answer", "answered"), [(429, 503), (500, 503), (403, 500), ({"error": "no module named x"}, 500)]
)
def test_function_that_does_not_answer_is_named_and_nothing_else(
    app: ModuleType, behind: LambdaApi, answer: Any, answered: int
) -> None:
    behind.otherwise = answer
    result = app.lambda_handler(event("/endpoints/digits/invocations"), Context())
    assert result["statusCode"] == answered
    assert ("retry-after" in result["headers"]) is (answered == 503)
    assert "model 'digits'" in result["body"]
    assert "no module named" not in result["body"]


def test_lambda_is_told_the_tenant_of_models_that_keep_tenants_apart_and_of_no_other(
    app: ModuleType, behind: LambdaApi
) -> None:
    caller = {"authorizer": {"tenant": "acme", "scopes": "*:*"}}
    for model in ("spam", "digits"):
        sent = event(f"/v1/models/{model}:predict", **{"X-Amz-Tenant-Id": "globex"}) | {
            "requestContext": caller
        }
        assert app.lambda_handler(sent, Context()) == ANSWER
    assert behind.tenants == ["acme", None]
