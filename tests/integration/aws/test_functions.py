"""Calling another function: what Lambda may answer, over a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hotplate.aws.functions import FunctionCaller
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import StepError, StepTimeoutError, StepUnavailableError
from hotplate.observability import trace_of

OLD_TIMEOUT = b'{"errorMessage": "2026-11-28T09:00:00.000Z 6a7c Task timed out after 29.00 seconds"}'
NEW_TIMEOUT = b'{"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: 6a7c Task timed out"}'
LIKE_TIMEOUT = (
    b'{"errorType": "ValueError", "errorMessage": "\'Task timed out after 29.00 seconds\' is no number"}'
)


@contextmanager
def lambda_api(
    status: int = 200,
    body: bytes = b'{"a": 1}',
    *,
    error: str = "",
    wait_s: float = 0,
    hang_up: bool = False,
    cut_second: bool = False,
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve one answer on a free port; yield the endpoint and what was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append({"path": self.path, "payload": payload, "headers": dict(self.headers)})
            time.sleep(wait_s)
            self.send_response(status)
            cut = cut_second and len(asked) > 1
            self.send_header("Content-Length", str(len(body) + cut))
            if error:
                self.send_header("X-Amz-Function-Error", error)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = hang_up or cut

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def caller(endpoint: str, timeout_s: float = 5) -> Iterator[FunctionCaller]:
    one = FunctionCaller(
        region="eu-west-1",
        endpoint=endpoint,
        credentials=lambda: Credentials("AK", "SK", None),
        timeout_s=timeout_s,
    )
    with closing(one):
        yield one


def test_alias_is_called_signed_and_its_answer_returned() -> None:
    with lambda_api() as (endpoint, asked), caller(endpoint) as one:
        assert one.call("reader:live", b'{"x": 2}') == b'{"a": 1}'
    (call,) = asked
    assert call["path"] == "/2015-03-31/functions/reader/invocations?Qualifier=live"
    assert call["payload"] == b'{"x": 2}'
    assert "/eu-west-1/lambda/aws4_request" in call["headers"]["authorization"]


def test_tenant_is_named_and_signed() -> None:
    with lambda_api() as (endpoint, asked), caller(endpoint) as one:
        one.call("reader:live", b"{}", "acme")
        one.call("reader:live", b"{}")
    named, unnamed = (call["headers"] for call in asked)
    assert named["x-amz-tenant-id"] == "acme"
    assert "x-amz-tenant-id" in named["authorization"]
    assert "x-amz-tenant-id" not in unnamed


def test_a_streamed_answer_comes_as_the_proxy_result_that_it_amounts_to() -> None:
    body = b'{"statusCode":201,"headers":{"a":"1"}}' + bytes(8) + b"data\0"
    with lambda_api(body=body) as (endpoint, _), caller(endpoint) as one:
        result = json.loads(one.call("reader", b"{}"))
    assert result == {"statusCode": 201, "headers": {"a": "1"}, "body": "ZGF0YQA=", "isBase64Encoded": True}


def test_an_answer_with_a_zero_byte_that_is_none_comes_as_it_is() -> None:
    with lambda_api(body=b"\0") as (endpoint, _), caller(endpoint) as one:
        assert one.call("reader", b"{}") == b"\0"


def test_connection_that_went_stale_is_replaced() -> None:
    with lambda_api(hang_up=True) as (endpoint, asked), caller(endpoint) as one:
        for _ in range(3):
            assert one.call("reader", b"{}") == b'{"a": 1}'
            time.sleep(0.05)
    assert len(asked) == 3


def test_answer_that_breaks_off_is_not_asked_for_again() -> None:
    with lambda_api(cut_second=True) as (endpoint, asked), caller(endpoint) as one:
        one.call("reader", b"{}")
        with pytest.raises(StepUnavailableError, match="broke off"):
            one.call("reader", b"{}")
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"status": 429}, StepUnavailableError, "busy"),
        ({"status": 500}, StepUnavailableError, "busy"),
        ({"status": 403}, StepError, "cannot be called"),
        ({"status": 404}, StepError, "cannot be called"),
        ({"error": "Unhandled"}, StepError, "ended with an error"),
        ({"error": "Unhandled", "body": b"[]"}, StepError, "ended with an error"),
        ({"error": "Unhandled", "body": b"no JSON"}, StepError, "ended with an error"),
        ({"error": "Unhandled", "body": OLD_TIMEOUT}, StepTimeoutError, "ran past its time"),
        ({"error": "Unhandled", "body": NEW_TIMEOUT}, StepTimeoutError, "ran past its time"),
        ({"error": "Unhandled", "body": LIKE_TIMEOUT}, StepError, "ended with an error"),
    ],
    ids=[
        "throttled",
        "broken",
        "not allowed",
        "not there",
        "died",
        "odd",
        "no JSON",
        "timed out, without a type",
        "timed out",
        "speaks of time-outs",
    ],
)
def test_faults_are_told_apart(answer: dict[str, Any], kind: type[Exception], words: str) -> None:
    with (
        lambda_api(**answer) as (endpoint, _),
        caller(endpoint) as one,
        pytest.raises(StepError, match=words) as caught,
    ):
        one.call("reader", b"{}")
    assert type(caught.value) is kind


def test_what_a_function_says_of_itself_is_not_handed_on() -> None:
    body = b'{"errorType": "ValueError", "errorMessage": "could not convert string to float: \'secret\'"}'
    with (
        lambda_api(error="Unhandled", body=body) as (endpoint, _),
        caller(endpoint) as one,
        pytest.raises(StepError) as caught,
    ):
        one.call("reader", b"{}")
    trace = trace_of(caught.value)
    assert any("ValueError" in line for line in trace)
    assert "secret" not in "\n".join(trace)


def test_slow_function_is_not_asked_twice() -> None:
    with lambda_api(wait_s=0.6) as (endpoint, asked), caller(endpoint, timeout_s=0.2) as one:
        with pytest.raises(StepTimeoutError, match=r"did not answer in 0\.2 s"):
            one.call("reader", b"{}")
        time.sleep(0.6)
    assert len(asked) == 1


def test_nobody_there_is_worth_another_try() -> None:
    with lambda_api() as (endpoint, _):
        pass
    with (
        caller(endpoint) as one,
        pytest.raises(StepUnavailableError, match="cannot be reached"),
    ):
        one.call("reader", b"{}")
