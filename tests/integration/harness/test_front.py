"""The front as callers meet it: Lambda's API through boto3, the REST API through plain HTTP."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from hotplate_tools.local.harness import RuntimeHarness


def call(
    harness: RuntimeHarness, method: str, target: str, body: Any = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(urlsplit(harness.url).netloc, timeout=10)
    connection.request(method, f"/live{target}", body, encode_chunked=True)
    response = connection.getresponse()
    answer = response.status, response.headers, response.read()
    connection.close()
    return answer


@pytest.fixture(scope="module")
def client(harness: RuntimeHarness) -> Any:
    return boto3.client(
        "lambda",
        endpoint_url=harness.lambda_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_boto3_invokes(client: Any) -> None:
    answer = client.invoke(FunctionName="TinyFunction", Payload=b'{"do": "boom"}', LogType="Tail")
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == "ValueError"
    assert answer["LogResult"]


def test_boto3_invokes_what_may_stream_and_gets_one_part(client: Any) -> None:
    def events(payload: bytes) -> list[Any]:
        answer = client.invoke_with_response_stream(FunctionName="TinyFunction", Payload=payload)
        return list(answer["EventStream"])

    first, last = events(b'{"do": "describe"}')
    assert json.loads(first["PayloadChunk"]["Payload"])
    assert last == {"InvokeComplete": {}}
    (failed,) = events(b'{"do": "boom"}')
    assert failed["InvokeComplete"]["ErrorCode"] == "ValueError"
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke_with_response_stream(FunctionName="Missing")


def test_boto3_gets_lambda_s_exceptions(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="Missing")
    with pytest.raises(client.exceptions.RequestTooLargeException):
        client.invoke(FunctionName="TinyFunction", Payload=b'"' + b"x" * 6291456 + b'"')
    with pytest.raises(ClientError, match="Event is not served"):
        client.invoke(FunctionName="TinyFunction", InvocationType="Event")


def test_binary_answer_arrives_as_bytes_with_repeated_headers(harness: RuntimeHarness) -> None:
    status, headers, body = call(harness, "GET", "/do?do=respond")
    assert (status, body, headers.get_all("X-Twice")) == (201, b"\0\1\2", ["a", "b"])
    assert headers["x-amzn-RequestId"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("/nowhere", (403, {"message": "Missing Authentication Token"}), id="unknown-route"),
        pytest.param("/do?do=boom", (502, {"message": "Internal server error"}), id="function-error"),
        pytest.param("/do?do=describe", (502, {"message": "Internal server error"}), id="wrong-shape"),
    ],
)
def test_gateway_s_own_answers(harness: RuntimeHarness, target: str, expected: tuple[int, Any]) -> None:
    status, _, body = call(harness, "GET", target)
    assert (status, json.loads(body)) == expected


def test_refusal_of_too_many_requests_has_the_template_s_shape(harness: RuntimeHarness) -> None:
    together = threading.Barrier(6)

    def one(_: int) -> tuple[int, str | None, bytes]:
        together.wait()
        status, headers, body = call(harness, "GET", "/do?do=sleep&seconds=1")
        return status, headers["Retry-After"], body

    with ThreadPoolExecutor(6) as threads:
        answers = Counter(threads.map(one, range(6)))
    assert answers == {(200, None, b"slept"): 4, (429, "1", b'{"error": "Too Many Requests"}'): 2}


@pytest.mark.parametrize("chunked", [False, True], ids=["with-length", "chunked"])
def test_body_above_ten_megabytes_is_refused(harness: RuntimeHarness, chunked: bool) -> None:
    part = b"x" * (1 << 20)
    connection = http.client.HTTPConnection(urlsplit(harness.url).netloc, timeout=10)
    connection.putrequest("POST", "/live/rest/a")
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        for _ in range(10):
            connection.send(b"%x\r\n%s\r\n" % (len(part), part))
        connection.send(b"1\r\n")
    else:
        connection.putheader("Content-Length", str(10 * len(part) + 1))
        connection.endheaders()
    response = connection.getresponse()
    assert (response.status, response.headers["Connection"]) == (413, "close")
    connection.close()


def test_connection_is_kept_alive(harness: RuntimeHarness) -> None:
    connection = http.client.HTTPConnection(urlsplit(harness.url).netloc, timeout=10)
    for _ in range(3):
        connection.request("GET", "/live/do?do=respond")
        response = connection.getresponse()
        assert (response.status, response.read()) == (201, b"\0\1\2")
        assert connection.sock is not None
    connection.close()
