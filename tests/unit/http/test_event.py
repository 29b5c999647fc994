"""Proxy events in, proxy results out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from hotplate.errors import MalformedRequestError, PayloadTooLargeError
from hotplate.http.event import HttpRequest, HttpResponse, read_event, write_result
from hotplate.limits import LAMBDA_PAYLOAD_BYTES, MAX_BODY_BYTES


def event(**changes: Any) -> dict[str, Any]:
    return {"httpMethod": "POST", "path": "/v2/models/m/infer", "headers": {}, "body": "", **changes}


def test_request_is_read() -> None:
    request = read_event(event(headers={"X-One": "1", "accept": "a"}, body='{"a": "é"}', httpMethod="post"))
    expected = HttpRequest(
        "POST", ("v2", "models", "m", "infer"), {"x-one": "1", "accept": "a"}, '{"a": "é"}'.encode()
    )
    assert request == expected


def test_base64_body_is_decoded() -> None:
    body = bytes(range(256))
    request = read_event(event(body=base64.b64encode(body).decode(), isBase64Encoded=True))
    assert request.body == body


@pytest.mark.parametrize("absent", [{"body": None, "headers": None}, {}], ids=["null", "missing"])
def test_absent_body_and_headers_are_empty(absent: dict[str, Any]) -> None:
    raw = {"httpMethod": "GET", "path": "/v2", **absent}
    assert read_event(raw) == HttpRequest("GET", ("v2",), {}, b"")


def test_path_is_percent_decoded_part_by_part() -> None:
    assert read_event(event(path="/v2/models/a%2Fb/infer")).segments == ("v2", "models", "a/b", "infer")


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"httpMethod": "GET"},
        [],
        event(path=None),
        event(path="/\ud800"),
        event(body="\ud800"),
        event(body={"a": 1}),
        event(headers={"accept": "\ud800"}),
        event(headers=["accept"]),
    ],
    ids=[
        "empty",
        "no-path",
        "list",
        "null-path",
        "surrogate-path",
        "surrogate-body",
        "dict-body",
        "surrogate-header",
        "list-of-headers",
    ],
)
def test_other_events_are_refused(raw: Any) -> None:
    with pytest.raises(MalformedRequestError, match="proxy event"):
        read_event(raw)


def test_body_that_is_not_base64_is_refused() -> None:
    with pytest.raises(MalformedRequestError, match="base64"):
        read_event(event(body="?!", isBase64Encoded=True))


@pytest.mark.parametrize("encoded", [True, False], ids=["base64", "text"])
def test_body_over_the_limit_is_refused_undecoded(encoded: bool) -> None:
    text = "A" * (MAX_BODY_BYTES * 4 // 3 + 8 if encoded else MAX_BODY_BYTES + 1)
    with pytest.raises(PayloadTooLargeError, match=str(MAX_BODY_BYTES)) as raised:
        read_event(event(body=text, isBase64Encoded=encoded))
    assert "POST /uploads" in raised.value.expected
    assert raised.value.can_upload


def test_json_answer_travels_as_text() -> None:
    result = write_result(HttpResponse(200, b'{"a":1}', {"x-y": "z"}))
    assert result == {
        "statusCode": 200,
        "headers": {"content-type": "application/json", "x-y": "z"},
        "body": '{"a":1}',
        "isBase64Encoded": False,
    }


def test_binary_answer_travels_as_base64() -> None:
    result = write_result(HttpResponse(200, b"\x00\xff", {}, "application/octet-stream"))
    assert (result["body"], result["isBase64Encoded"]) == ("AP8=", True)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"x" * (LAMBDA_PAYLOAD_BYTES * 3 // 4), "application/octet-stream"),
        (b'"' * (LAMBDA_PAYLOAD_BYTES // 2), "application/json"),
        ("漢".encode() * (LAMBDA_PAYLOAD_BYTES // 3), "application/json"),
    ],
    ids=["base64", "escaped-quotes", "three-bytes-a-character"],
)
def test_answer_that_lambda_would_drop_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(PayloadTooLargeError, match="binary output"):
        write_result(HttpResponse(200, body, {}, content_type))


def test_largest_accepted_answer_fits_lambdas_limit() -> None:
    body = b'"' * (LAMBDA_PAYLOAD_BYTES // 2 - 2100)
    result = write_result(HttpResponse(200, body, {"server-timing": "x" * 1000}))
    assert len(json.dumps(result)) <= LAMBDA_PAYLOAD_BYTES
