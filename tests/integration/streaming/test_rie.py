"""A streaming function on AWS's Runtime Interface Emulator, which takes chunks and gives the whole."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hotplate_tools.console import Console
from hotplate_tools.local.harness import RuntimeHarness, runtime_harness
from tests.support.streaming_layer import WRAPPER, streaming_layer

TEMPLATE = f"""
Transform: AWS::Serverless-2016-10-31
Resources:
  Layer: {{Type: AWS::Serverless::LayerVersion, Properties: {{ContentUri: Layer}}}}
  Api: {{Type: AWS::Serverless::Api, Properties: {{StageName: live}}}}
  Streamer:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      CodeUri: Streamer
      Handler: streamer.handler
      Timeout: 5
      MemorySize: 256
      Layers: [!Ref Layer]
      Environment: {{Variables: {{AWS_LAMBDA_EXEC_WRAPPER: {WRAPPER}}}}}
      Events:
        Stream:
          Type: Api
          Properties:
            {{RestApiId: !Ref Api, Method: POST, Path: /stream, ResponseTransferMode: RESPONSE_STREAM}}
        Whole:
          Type: Api
          Properties: {{RestApiId: !Ref Api, Method: POST, Path: /whole}}
"""


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeHarness]:
    folder = tmp_path_factory.mktemp("built")
    program = Path(__file__).parents[2] / "support" / "programs" / "streamer.py"
    for name, file in {
        **{f"Layer/{k}": v for k, v in streaming_layer().items()},
        "Streamer/streamer.py": program,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / name)
    template = folder / "template.yaml"
    template.write_text(TEMPLATE)
    with runtime_harness(
        Console(), bucket="b", s3_endpoint="http://127.0.0.1:9", parameters={}, template=template
    ) as running:
        yield running


def post(harness: RuntimeHarness, path: str, wanted: object) -> tuple[http.client.HTTPResponse, bytes]:
    address = urlsplit(harness.url)
    connection = http.client.HTTPConnection(address.netloc, timeout=30)
    connection.request("POST", address.path + path, json.dumps(wanted))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_a_streaming_method_answers_with_the_streams_status_headers_and_body(harness: RuntimeHarness) -> None:
    for _ in range(2):
        answer, body = post(harness, "/stream", {"count": 3, "status": 203})
        assert (answer.status, answer.headers["content-type"]) == (203, "text/event-stream")
        assert body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    (environment,) = harness.environments("Streamer")
    assert environment.invocations == 2


def test_a_method_that_does_not_say_so_refuses_the_stream_as_on_aws(harness: RuntimeHarness) -> None:
    assert post(harness, "/whole", {"count": 3})[0].status == 502


def test_errors_and_whole_answers(harness: RuntimeHarness) -> None:
    assert post(harness, "/stream", {"refuse": "no"})[0].status == 502
    answer, body = post(harness, "/stream", {"value": {"statusCode": 404, "body": "gone"}})
    assert (answer.status, body) == (404, b"gone")


def test_an_error_in_the_stream_is_taken_however_long_it_is(harness: RuntimeHarness) -> None:
    """The server in the RIE, and on Lambda, reads trailers of 4 KB at most."""
    said = {"count": 5, "raise_at": 2, "message": "é" * 9000}
    answer, body = post(harness, "/stream", said)
    assert (answer.status, body) == (200, b"data: 0\n\ndata: 1\n\nevent: error\ndata: RuntimeError\n\n")
    assert post(harness, "/stream", {"count": 1})[0].status == 200
    assert len(harness.environments("Streamer")) == 1
