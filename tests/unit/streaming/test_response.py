"""The form of a streamed answer: what a handler returns, what is sent, what is read again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hotplate.streaming import StreamedResponse
from hotplate.streaming.response import MAX_PRELUDE_BYTES, SEPARATOR, as_streamed, prelude, proxy_result
from hotplate_tools.local.streaming.call import split_prelude


def test_the_prelude_is_status_and_headers_then_eight_zero_bytes() -> None:
    response = StreamedResponse(201, {"a": "1", "set-cookie": ["x", "y"]}, ())
    head, found, rest = prelude(response).partition(bytes(8))
    assert (found, rest) == (bytes(8), b"")
    assert json.loads(head) == {
        "statusCode": 201,
        "headers": {"a": "1"},
        "multiValueHeaders": {"set-cookie": ["x", "y"]},
    }


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"a": 1}, "header a: expected text, received 1"),
        ({"a": ["x", None]}, "header a: expected text"),
        ({"a": "x" * MAX_PRELUDE_BYTES}, "status and headers: expected at most 16384 bytes"),
    ],
    ids=["number", "none in a list", "too long"],
)
def test_headers_that_api_gateway_cannot_read_are_refused(headers: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prelude(StreamedResponse(200, headers, ()))


@pytest.mark.parametrize(
    ("result", "headers", "body"),
    [
        ({"statusCode": 200}, {}, b""),
        ({"statusCode": 200, "body": "é"}, {}, "é".encode()),
        ({"statusCode": 200, "body": "AAE=", "isBase64Encoded": True}, {}, b"\0\1"),
        ({"statusCode": 200, "headers": {"x-n": 3}, "body": None}, {"x-n": "3"}, b""),
        (
            {"statusCode": 200, "headers": {"A": "1", "B": "2"}, "multiValueHeaders": {"a": ["3", "4"]}},
            {"B": "2", "a": ["3", "4"]},
            b"",
        ),
    ],
    ids=["bare", "text", "base64", "number in a header", "headers both ways"],
)
def test_a_proxy_result_is_an_answer_of_one_chunk(
    result: dict[str, Any], headers: dict[str, Any], body: bytes
) -> None:
    streamed = as_streamed(result)
    assert streamed is not None
    assert (streamed.status, streamed.headers, b"".join(streamed.chunks)) == (200, headers, body)


@pytest.mark.parametrize("value", [None, "text", [], {}, {"statusCode": "200"}, {"batchItemFailures": []}])
def test_another_value_is_no_answer(value: object) -> None:
    assert as_streamed(value) is None


@pytest.mark.parametrize("result", [{"body": 3}, {"body": "a", "isBase64Encoded": True}])
def test_a_body_that_is_not_what_it_says_is_refused(result: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"body: expected text|base64"):
        as_streamed({"statusCode": 200, **result})


def test_what_was_streamed_is_read_as_the_proxy_result_that_it_amounts_to() -> None:
    sent = prelude(StreamedResponse(200, {"a": "1"}, ())) + b"data\0" + SEPARATOR + b"more"
    assert proxy_result(sent) == {
        "statusCode": 200,
        "headers": {"a": "1"},
        "body": "ZGF0YQAAAAAAAAAAAG1vcmU=",
        "isBase64Encoded": True,
    }


@pytest.mark.parametrize("payload", [b"", b'{"statusCode":200}', b"text" + SEPARATOR, SEPARATOR])
def test_another_payload_is_no_streamed_answer(payload: bytes) -> None:
    assert proxy_result(payload) is None


def test_the_local_cloud_reads_what_the_runtime_writes() -> None:
    sent = prelude(StreamedResponse(200, {"a": "1"}, ())) + b"first"
    assert split_prelude(sent) == ({"statusCode": 200, "headers": {"a": "1"}}, b"first")
    assert [split_prelude(sent[:end]) for end in range(sent.index(b"first"))] == [None] * sent.index(b"first")


@pytest.mark.parametrize(
    "data", [b"[1]" + SEPARATOR, b"{}" + SEPARATOR, b'{"statusCode":"1"}' + SEPARATOR, b"x" * (16 * 1024 + 1)]
)
def test_what_is_no_prelude_is_refused_when_it_is_long_enough(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"streamed answer|Expecting"):
        split_prelude(data)
