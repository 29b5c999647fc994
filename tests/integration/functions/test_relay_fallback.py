"""The relay where a model's function cannot answer: who is asked instead, how, and what the caller gets."""

from __future__ import annotations

import base64
import importlib
import json
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.support.lambda_api import LambdaApi, lambda_api
from tests.support.lambda_context import Context

PATH = "/v2/models/digits/infer"
OK = {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "{}"}
TOO_MANY = {
    "statusCode": 400,
    "headers": {},
    "body": json.dumps({"type": "urn:hotplate:error:TooManyRowsError", "error": "rows: …"}),
}


@pytest.fixture
def behind() -> Iterator[LambdaApi]:
    with lambda_api() as api:
        api.otherwise = OK
        yield api


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, behind: LambdaApi) -> Callable[..., ModuleType]:
    def with_settings(**more: str) -> ModuleType:
        values = {
            "HOTPLATE_FUNCTIONS": "digits=D:live,spam=S:live",
            "HOTPLATE_FALLBACKS": "digits=spam",
            "AWS_ENDPOINT_URL_LAMBDA": behind.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            **more,
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        import functions.relay.app as module

        return importlib.reload(module)

    return with_settings


def event(path: str = PATH, body: Any = None, scopes: str = "infer:digits") -> dict[str, Any]:
    raw = base64.b64encode(json.dumps(body).encode()).decode()
    caller = {"tenant": "acme", "key": "k", "scopes": scopes}
    sent = {"httpMethod": "POST", "path": path, "headers": {}, "body": raw, "isBase64Encoded": True}
    return {**sent, "requestContext": {"authorizer": caller}}


@pytest.mark.parametrize(
    ("answer", "reason", "is_again"),
    [
        (429, "overload", False),
        (503, "overload", False),
        ({"error": "Task timed out after 20.00 seconds"}, "timeout", False),
        (TOO_MANY, "rows", True),
        ({"statusCode": 503, "headers": {}, "body": "{}"}, "not-ready", True),
    ],
)
def test_fallback_answers_what_the_model_cannot(
    load: Callable[..., ModuleType],
    behind: LambdaApi,
    answer: Any,
    reason: str,
    is_again: bool,
) -> None:
    app, state = load(), behind
    state.answers["D"] = answer
    result = app.lambda_handler(event(), Context())
    assert (result["statusCode"], result["headers"]["hotplate-fallback"]) == (200, f"spam; reason={reason}")
    (first, sent), (second, again) = state.asked
    assert (first, sent) == ("D", event())
    # The scope is for the model that was asked; who stands in was chosen by whoever published that.
    assert (second, again["path"]) == ("S", "/v2/models/spam/infer")
    assert again["requestContext"] == {
        **event()["requestContext"],
        "hotplateFallback": {"asked": "digits", "is_again": is_again},
    }


@pytest.mark.parametrize("answer", [OK, {"statusCode": 400, "headers": {}, "body": "{}"}])
def test_answer_of_the_model_is_the_answer(
    load: Callable[..., ModuleType], behind: LambdaApi, answer: dict[str, Any]
) -> None:
    app, state = load(), behind
    state.answers["D"] = answer
    assert app.lambda_handler(event(), Context()) == answer
    assert [each for each, _ in state.asked] == ["D"]


def test_model_without_a_fallback_has_none(load: Callable[..., ModuleType], behind: LambdaApi) -> None:
    app, state = load(), behind
    state.answers["S"] = 429
    result = app.lambda_handler(event("/v2/models/spam/infer", scopes="infer:*"), Context())
    assert (result["statusCode"], "hotplate-fallback" in result["headers"]) == (503, False)
    assert [each for each, _ in state.asked] == ["S"]


@pytest.mark.parametrize("answer", [429, {"statusCode": 500, "headers": {}, "body": "{}"}, {"error": "x"}])
def test_fallback_that_fails_too_is_not_heard_of(
    load: Callable[..., ModuleType],
    behind: LambdaApi,
    answer: Any,
) -> None:
    app, state = load(), behind
    state.answers |= {"D": TOO_MANY, "S": answer}
    assert app.lambda_handler(event(), Context()) == TOO_MANY
    state.answers["D"] = 429
    result = app.lambda_handler(event(), Context())
    assert (result["statusCode"], "retry-after" in result["headers"]) == (503, True)
    assert "model 'digits'" in result["body"]


def test_fallback_has_no_fallback_of_its_own(load: Callable[..., ModuleType], behind: LambdaApi) -> None:
    app, state = load(HOTPLATE_FALLBACKS="digits=spam,spam=digits"), behind
    state.answers |= {"D": 429, "S": 429}
    assert app.lambda_handler(event(), Context())["statusCode"] == 503
    assert [each for each, _ in state.asked] == ["D", "S"]


def test_sagemaker_is_asked_through_the_function_before_it(
    load: Callable[..., ModuleType], behind: LambdaApi
) -> None:
    app = load(HOTPLATE_FALLBACKS="digits=sagemaker", HOTPLATE_GPU_PROXY="digits=P")
    state = behind
    state.answers |= {"D": 429, "P": {"statusCode": 202, "headers": {"location": "/jobs/1"}, "body": "{}"}}
    result = app.lambda_handler(event(), Context())
    assert (result["statusCode"], result["headers"]["location"]) == (202, "/jobs/1")
    assert result["headers"]["hotplate-fallback"] == "sagemaker; reason=overload"
    assert [(each, sent["path"]) for each, sent in state.asked] == [("D", PATH), ("P", PATH)]


@pytest.mark.parametrize("proxy", ["", "spam=P"])
def test_what_is_not_deployed_is_told_to_the_log_and_the_caller_gets_the_models_answer(
    load: Callable[..., ModuleType],
    behind: LambdaApi,
    proxy: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = load(HOTPLATE_FALLBACKS="digits=sagemaker", HOTPLATE_GPU_PROXY=proxy)
    behind.answers["D"] = TOO_MANY
    assert app.lambda_handler(event(), Context()) == TOO_MANY
    (told,) = [each for each in caplog.records if each.message == "a fallback did not answer"]
    assert vars(told)["error"] == "it is not deployed"


def test_fallback_has_what_is_left_of_the_relays_time(
    load: Callable[..., ModuleType], behind: LambdaApi
) -> None:
    app, state = load(HOTPLATE_RELAY_TIMEOUT_S="4"), behind
    state.answers |= {"D": (1.5, TOO_MANY), "S": (6, OK)}
    begin = time.monotonic()
    assert app.lambda_handler(event(), Context()) == TOO_MANY
    assert 3.5 < time.monotonic() - begin < 5
    # Of 4 s less than 2 are left, so nobody else is asked.
    state.asked.clear()
    state.answers |= {"D": (2.5, TOO_MANY), "S": OK}
    assert app.lambda_handler(event(), Context()) == TOO_MANY
    assert [each for each, _ in state.asked] == ["D"]


def test_setting_that_names_nobody_is_refused(load: Callable[..., ModuleType]) -> None:
    from hotplate.errors import SettingsError

    with pytest.raises(
        SettingsError, match=r"HOTPLATE_FALLBACKS is 'digits', not MODEL=MODEL, or MODEL=sagemaker"
    ):
        load(HOTPLATE_FALLBACKS="digits")


@pytest.mark.parametrize("fallback", ["spam", "sagemaker"])
def test_what_mixes_tenants_stands_in_for_nobody_who_keeps_them_apart(
    load: Callable[..., ModuleType],
    behind: LambdaApi,
    fallback: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = behind
    settings = {"HOTPLATE_FALLBACKS": f"digits={fallback}", "HOTPLATE_GPU_PROXY": "digits=P"}
    app = load(**settings, HOTPLATE_ISOLATED="digits")
    state.answers["D"] = 429
    assert app.lambda_handler(event(), Context())["statusCode"] == 503
    assert [each for each, _ in state.asked] == ["D"]
    assert "a fallback that does not keep tenants apart is not asked" in caplog.messages


def test_who_keeps_tenants_apart_stands_in_for_another_who_does(
    load: Callable[..., ModuleType], behind: LambdaApi
) -> None:
    app, state = load(HOTPLATE_ISOLATED="digits spam"), behind
    state.answers["D"] = 429
    assert app.lambda_handler(event(), Context())["headers"]["hotplate-fallback"] == "spam; reason=overload"
