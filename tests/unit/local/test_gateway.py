"""Requests to events, results to answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hotplate_tools.failures import FailedError
from hotplate_tools.local.gateway import (
    Answer,
    GatewayResponses,
    Request,
    match_route,
    proxy_event,
    read_answer,
)
from hotplate_tools.local.template import Route

_EVENTS = Path(__file__).parents[2] / "events"

ROUTES = (
    Route("GET", "/v2", "Root"),
    Route("GET", "/v2/models/{model}", "Model"),
    Route("ANY", "/v2/models/{model}/infer", "Infer"),
    Route("GET", "/v2/models/digits", "Digits"),
    Route("GET", "/v2/{proxy+}", "Rest"),
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v2", ("Root", {})),
        ("GET", "/v2/models/digits", ("Digits", {})),
        ("GET", "/v2/models/a%2Fb", ("Model", {"model": "a/b"})),
        ("DELETE", "/v2/models/x/infer", ("Infer", {"model": "x"})),
        ("GET", "/v2/health/live", ("Rest", {"proxy": "health/live"})),
        ("POST", "/v2/models/digits", None),
        ("GET", "/v2/", None),
        ("GET", "/v3", None),
    ],
)
def test_most_specific_resource_takes_the_request(
    method: str, path: str, expected: tuple[str, dict[str, str]] | None
) -> None:
    found = match_route(ROUTES, method, path)
    assert (found and (found[0].function, found[1])) == expected


def test_event_is_the_one_that_api_gateway_sends() -> None:
    stored = json.loads((_EVENTS / "infer_digits.json").read_text(encoding="utf-8"))
    sent = [pair for pair in stored["headers"].items() if not pair[0].startswith("X-Forwarded-")]
    request = Request("POST", stored["path"], sent, base64.b64decode(stored["body"]), "203.0.113.7")
    context = stored["requestContext"]
    built = proxy_event(
        request,
        resource=stored["resource"],
        path_parameters={},
        stage=context["stage"],
        request_id=context["requestId"],
    )
    for name in ("requestTime", "requestTimeEpoch"):
        built["requestContext"][name] = context[name]
    assert built == stored


def test_repeated_headers_and_query_parameters_are_kept() -> None:
    request = Request("GET", "/v2?a=1&a=2&b=", [("X", "1"), ("X", "2"), ("Connection", "close")])
    event = proxy_event(request, resource="/v2", path_parameters={}, stage="live")
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [""]}
    assert event["queryStringParameters"] == {"a": "2", "b": ""}
    assert event["multiValueHeaders"]["X"] == ["1", "2"]
    assert "Connection" not in event["headers"]


def test_absent_parts_are_null() -> None:
    event = proxy_event(Request("GET", "/v2"), resource="/v2", path_parameters={}, stage="live")
    names = ("queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "body")
    assert [event[name] for name in names] == [None] * 4
    assert event["isBase64Encoded"] is False


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"statusCode": 200}, Answer(200)),
        ({"statusCode": "204", "body": None, "headers": None}, Answer(204)),
        ({"statusCode": 200, "body": "é"}, Answer(200, (), "é".encode())),
        ({"statusCode": 200, "body": "AAE=", "isBase64Encoded": True}, Answer(200, (), b"\0\1")),
        (
            {"statusCode": 200, "headers": {"x-a": 1, "B": True}, "multiValueHeaders": {"X-A": ["2", "3"]}},
            Answer(200, (("B", "true"), ("X-A", "2"), ("X-A", "3"))),
        ),
    ],
    ids=["bare", "status-as-text", "text", "binary", "headers"],
)
def test_result_is_read(result: dict[str, Any], expected: Answer) -> None:
    assert read_answer(json.dumps(result).encode()) == expected


@pytest.mark.parametrize(
    "payload",
    [b"null", b'"text"', b"{}", b'{"statusCode": 200, "body": {}}', b'{"statusCode": 200, "extra": 1}',
     b'{"statusCode": 200, "body": "?", "isBase64Encoded": true}', b'{"statusCode": 99}', b"\xff",
     b'{"statusCode": 200, "headers": {"a": []}}', b'{"statusCode": 200, "multiValueHeaders": {"a": "b"}}'],
)  # fmt: skip
def test_result_of_another_shape_is_no_answer(payload: bytes) -> None:
    assert read_answer(payload) is None


def test_gateway_s_answer_without_a_declaration() -> None:
    answer = GatewayResponses().answer("MISSING_AUTHENTICATION_TOKEN", "id")
    assert (answer.status, answer.body) == (403, b'{"message": "Missing Authentication Token"}')


def test_gateway_s_answer_as_declared() -> None:
    declared: dict[str, dict[str, Any]] = {
        "DEFAULT_4XX": {"ResponseTemplates": {"application/json": '{"error": $context.error.messageString}'}},
        "THROTTLED": {
            "StatusCode": 503,
            "ResponseParameters": {"Headers": {"Retry-After": "'1'"}},
            "ResponseTemplates": {"text/plain": "slow $context.requestId"},
        },
    }
    responses = GatewayResponses(declared)
    throttled = Answer(
        503,
        (("Content-Type", "text/plain"), ("x-amzn-ErrorType", "THROTTLED"), ("Retry-After", "1")),
        b"slow id",
    )
    assert responses.answer("THROTTLED", "id") == throttled
    assert responses.answer("REQUEST_TOO_LARGE", "id").body == b'{"error": "Request Entity Too Large"}'
    assert responses.answer("INTEGRATION_TIMEOUT", "id").body == b'{"message": "Endpoint request timed out"}'


def test_variable_that_is_not_known_is_refused() -> None:
    declared = {"DEFAULT_4XX": {"ResponseTemplates": {"a/b": "$context.identity.sourceIp"}}}
    with pytest.raises(FailedError, match=r"\$context.identity.sourceIp"):
        GatewayResponses(declared).answer("THROTTLED", "id")
