"""Streaming methods of an API in the local cloud, asked over HTTP; nothing but the template says it."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hotplate.streaming.response import proxy_result
from hotplate_tools.console import Console
from hotplate_tools.local.cloud import run_cloud
from hotplate_tools.local.deploy import client
from tests.support.streaming_layer import WRAPPER, streaming_layer

ROOT = Path(__file__).parents[3]

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Layer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: "s3://code/layer.zip", CompatibleRuntimes: [python3.13]}
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: live
      BinaryMediaTypes: ["*/*"]
      Auth:
        DefaultAuthorizer: keys
        Authorizers:
          keys:
            FunctionArn: !GetAtt Guard.Arn
            FunctionPayloadType: REQUEST
            Identity: {ReauthorizeEvery: 0}
  Guard:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: guard.handler
      CodeUri: s3://code/code.zip
  Streamer:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: streamer.handler
      CodeUri: s3://code/code.zip
      AutoPublishAlias: live
      Layers: [!Ref Layer]
      Timeout: 3
      Environment:
        Variables:
          AWS_LAMBDA_EXEC_WRAPPER: %s
      Events:
        Stream:
          Type: Api
          Properties:
            {RestApiId: !Ref Api, Method: POST, Path: "/stream/{what}", ResponseTransferMode: RESPONSE_STREAM}
        Open:
          Type: Api
          Properties:
            RestApiId: !Ref Api
            Method: POST
            Path: /open
            ResponseTransferMode: RESPONSE_STREAM
            Auth: {Authorizer: NONE}
  Plain:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: guard.plain
      CodeUri: s3://code/code.zip
      Events:
        Plain:
          Type: Api
          Properties: {RestApiId: !Ref Api, Method: POST, Path: /plain, ResponseTransferMode: RESPONSE_STREAM}
"""

GUARD = """
def handler(event, context):
    effect = "Allow" if event["headers"].get("x-api-key") == "right" else "Deny"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    return {"principalId": "p", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}

def plain(event, context):
    return {"statusCode": 200, "body": "no stream"}
"""


@dataclass(frozen=True)
class Api:
    port: int
    path: str
    endpoint: str
    streamer: str
    plain: str

    def post(
        self, wanted: object, *, key: str = "right", path: str = "/stream/a"
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", self.path + path, json.dumps(wanted), {"x-api-key": key})
        return connection, connection.getresponse()

    def ask(self, wanted: object, **named: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection, answer = self.post(wanted, **named)
        with closing(connection):
            return answer, answer.read()

    def lines(self) -> list[dict[str, Any]]:
        """Return what generators logged when they ended; their functions' workers have to be idle."""
        logs = client("logs", self.endpoint)
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{self.streamer}")["events"]
        return [json.loads(each["message"]) for each in events if each["message"].startswith('{"closed"')]


def zipped(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    return held.getvalue()


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    streamer = (ROOT / "tests" / "support" / "programs" / "streamer.py").read_bytes()
    with run_cloud(Console(as_json=True), runtime="python3.13") as cloud:
        store = client("s3", cloud.endpoint)
        store.create_bucket(Bucket="code")
        store.put_object(
            Bucket="code",
            Key="layer.zip",
            Body=zipped({name: file.read_bytes() for name, file in streaming_layer().items()}),
        )
        code = zipped({"streamer.py": streamer, "guard.py": GUARD.encode()})
        store.put_object(Bucket="code", Key="code.zip", Body=code)
        formation = client("cloudformation", cloud.endpoint)
        formation.create_stack(
            StackName="s", TemplateBody=TEMPLATE % WRAPPER, Capabilities=["CAPABILITY_IAM"]
        )
        formation.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
        pages = formation.get_paginator("list_stack_resources").paginate(StackName="s")
        listed = [each for page in pages for each in page["StackResourceSummaries"]]
        ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed}
        path = f"/restapis/{ids['Api']}/live/_user_request_"
        yield Api(cloud.port, path, cloud.endpoint, ids["Streamer"], ids["Plain"])


def test_the_first_byte_is_there_long_before_the_last(api: Api) -> None:
    api.ask({"count": 1})  # the cold start is not what is measured
    begun = time.monotonic()
    connection, answer = api.post({"count": 10, "every_s": 0.1})
    with closing(connection):
        arrived = []
        while piece := answer.read1():
            arrived.append((time.monotonic() - begun, piece))
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert b"".join(piece for _, piece in arrived) == b"".join(b"data: %d\n\n" % n for n in range(10))
    assert len(arrived) >= 8, arrived
    assert arrived[0][0] < 0.5 * arrived[-1][0], arrived


def test_a_caller_without_a_key_is_refused_as_on_any_route(api: Api) -> None:
    answer, _ = api.ask({"count": 1}, key="wrong")
    assert answer.status == 403
    answer, _ = api.ask({"count": 1}, path="/nowhere")
    assert answer.status == 403


def test_a_whole_answer_comes_with_its_status(api: Api) -> None:
    answer, body = api.ask({"value": {"statusCode": 404, "headers": {"x-what": "it"}, "body": "gone"}})
    assert (answer.status, answer.headers["x-what"], body) == (404, "it", b"gone")


def test_the_event_is_that_of_a_rest_api(api: Api) -> None:
    answer, body = api.ask({"context": True})
    assert answer.status == 200
    assert 0 < json.loads(body)["remaining_ms"] <= 3000
    assert json.loads(body)["function_name"] == api.streamer


def test_an_error_before_the_first_chunk_is_a_502(api: Api) -> None:
    answer, _ = api.ask({"refuse": "no"})
    assert answer.status == 502
    answer, _ = api.ask({"count": 3, "raise_at": 0})
    assert answer.status == 502


def test_an_answer_that_does_not_stream_is_refused_as_on_aws(api: Api) -> None:
    for answer, _ in (api.ask({"value": {"no": "status"}}), api.ask({}, path="/plain")):
        assert answer.status == 502


def test_an_error_in_the_stream_is_its_last_event_and_no_silent_end(api: Api) -> None:
    connection, answer = api.post({"count": 5, "raise_at": 2})
    with closing(connection), pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    assert cut.value.partial == b"data: 0\n\ndata: 1\n\nevent: error\ndata: RuntimeError\n\n"


def test_a_caller_who_hangs_up_frees_the_function_within_one_item(api: Api) -> None:
    before = len(api.lines())
    connection, answer = api.post({"count": 30, "every_s": 0.09})
    seen = answer.read1()
    assert connection.sock is not None
    # As a process that dies does: the answer still holds the socket otherwise.
    answer.close()
    connection.close()
    gone = time.time()
    deadline = time.monotonic() + 10
    while len(lines := api.lines()) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert seen.count(b"data:") <= lines[-1]["closed"] < 10
    assert lines[-1]["at"] - gone < 0.8
    answer, _ = api.ask({"count": 1})
    assert answer.status == 200


def test_a_process_that_is_killed_breaks_the_stream_and_the_next_request_works(api: Api) -> None:
    connection, answer = api.post({"count": 30, "every_s": 0.09})
    pid = answer.headers["x-pid"]
    with closing(connection):
        answer.read1()
        os.kill(int(pid), signal.SIGKILL)
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    again, body = api.ask({"count": 2})
    assert (again.status, body) == (200, b"data: 0\n\ndata: 1\n\n")
    assert again.headers["x-pid"] != pid


def test_a_function_that_takes_too_long_is_stopped(api: Api) -> None:
    connection, answer = api.post({"count": 2, "hang_at": 1})
    begun = time.monotonic()
    with closing(connection), pytest.raises(http.client.IncompleteRead):
        answer.read()
    assert time.monotonic() - begun < 10
    assert api.ask({"count": 1})[0].status == 200


def test_requests_at_once_have_a_process_each(api: Api) -> None:
    both = [api.post({"count": 3, "every_s": 0.1}) for _ in range(2)]
    pids = {answer.headers["x-pid"] for _, answer in both}
    assert len(pids) == 2
    for connection, answer in both:
        with closing(connection):
            assert answer.read().count(b"data:") == 3


def test_lambdas_invoke_gives_a_streamed_answer_whole(api: Api) -> None:
    functions = client("lambda", api.endpoint)
    asked = functions.invoke(FunctionName=f"{api.streamer}:live", Payload=json.dumps({"count": 2}))
    result = proxy_result(asked["Payload"].read())
    assert result is not None
    assert (result["statusCode"], result["body"]) == (200, "ZGF0YTogMAoKZGF0YTogMQoK")
    asked = functions.invoke(FunctionName=f"{api.streamer}:live", Payload=json.dumps({"value": [1]}))
    assert json.load(asked["Payload"]) == [1]
    asked = functions.invoke(FunctionName=f"{api.streamer}:live", Payload=json.dumps({"refuse": "no"}))
    assert asked["FunctionError"] == "Unhandled"


def test_a_request_past_the_functions_concurrency_is_throttled_while_a_stream_lasts(api: Api) -> None:
    functions = client("lambda", api.endpoint)
    functions.put_function_concurrency(FunctionName=api.streamer, ReservedConcurrentExecutions=1)
    try:
        connection, answer = api.post({"count": 10, "every_s": 0.05})
        with closing(connection):
            assert answer.status == 200
            assert api.ask({"count": 1})[0].status == 429
            assert answer.read().count(b"data:") == 10
        # A stream has ended for its caller when its process is free.
        again = [api.ask({"value": {"statusCode": 200}}, path="/open")[0].status for _ in range(5)]
        assert again == [200] * 5
    finally:
        functions.delete_function_concurrency(FunctionName=api.streamer)


def test_lambdas_streaming_invoke_gives_each_part_when_it_is_there(api: Api) -> None:
    functions = client("lambda", api.endpoint)
    asked = functions.invoke_with_response_stream(
        FunctionName=f"{api.streamer}:live", Payload=json.dumps({"count": 10, "every_s": 0.1})
    )
    begun, parts, ended = time.monotonic(), [], []
    for event in asked["EventStream"]:
        if "PayloadChunk" in event:
            parts.append((time.monotonic() - begun, event["PayloadChunk"]["Payload"]))
        else:
            ended.append(event["InvokeComplete"])
    result = proxy_result(b"".join(part for _, part in parts))
    assert result is not None
    assert base64.b64decode(result["body"]) == b"".join(b"data: %d\n\n" % n for n in range(10))
    assert len(parts) >= 8, parts
    assert parts[0][0] < 0.5 * parts[-1][0], parts
    assert ended == [{}]


@pytest.mark.parametrize(
    ("wanted", "sent", "error"),
    [
        ({"refuse": "no"}, b"", "ValueError"),
        (
            {"count": 5, "raise_at": 2},
            b"data: 0\n\ndata: 1\n\nevent: error\ndata: RuntimeError\n\n",
            "RuntimeError",
        ),
        ({"count": 2, "hang_at": 1}, b"data: 0\n\n", "Sandbox.Timedout"),
    ],
    ids=["before", "in the stream", "too slow"],
)
def test_streaming_invoke_ends_with_what_went_wrong(
    api: Api, wanted: dict[str, Any], sent: bytes, error: str
) -> None:
    functions = client("lambda", api.endpoint)
    asked = functions.invoke_with_response_stream(FunctionName=api.streamer, Payload=json.dumps(wanted))
    *parts, last = asked["EventStream"]
    data = b"".join(each["PayloadChunk"]["Payload"] for each in parts)
    assert data.rpartition(bytes(8))[2] == sent
    assert last["InvokeComplete"]["ErrorCode"] == error


def test_streaming_invoke_of_a_function_that_gives_its_answer_whole_has_one_part(api: Api) -> None:
    functions = client("lambda", api.endpoint)
    asked = functions.invoke_with_response_stream(FunctionName=api.plain, Payload=b"{}")
    first, last = asked["EventStream"]
    assert json.loads(first["PayloadChunk"]["Payload"]) == {"statusCode": 200, "body": "no stream"}
    assert last == {"InvokeComplete": {}}


def test_streaming_invoke_is_throttled_while_a_stream_lasts_and_frees_the_function_when_it_is_hung_up(
    api: Api,
) -> None:
    functions = client("lambda", api.endpoint)
    functions.put_function_concurrency(FunctionName=api.streamer, ReservedConcurrentExecutions=1)
    try:
        before = len(api.lines())
        wanted = json.dumps({"count": 30, "every_s": 0.09})
        asked = functions.invoke_with_response_stream(FunctionName=f"{api.streamer}:live", Payload=wanted)
        reading = iter(asked["EventStream"])
        next(reading)
        with pytest.raises(functions.exceptions.TooManyRequestsException):
            functions.invoke_with_response_stream(FunctionName=f"{api.streamer}:live", Payload=b"{}")
        asked["EventStream"].close()
        gone = time.time()
        deadline = time.monotonic() + 10
        while len(lines := api.lines()) == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert lines[-1]["closed"] < 30
        assert lines[-1]["at"] - gone < 0.8
        assert api.ask({"count": 1})[0].status == 200
    finally:
        functions.delete_function_concurrency(FunctionName=api.streamer)
