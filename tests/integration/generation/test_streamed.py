"""The chat function as Lambda runs it: by its wrapper, on a Runtime API that gives on chunks as they come."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import hotplate.streaming
from hotplate_tools.local.streaming.call import Call, split_prelude
from hotplate_tools.local.streaming.process import StreamingFunction
from tests.support.faulty_s3 import BUCKET, faulty_s3
from tests.support.signing import SeedSigner
from tests.support.tiny_llama import published_llama

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
BOOTSTRAP = Path(hotplate.streaming.__file__).parent / "bootstrap"


@pytest.fixture(scope="module")
def function() -> Iterator[StreamingFunction]:
    version = published_llama()
    with faulty_s3() as s3:
        s3.objects.update(version.reader.objects)
        environment = {
            "AWS_ACCESS_KEY_ID": "AK",
            "AWS_SECRET_ACCESS_KEY": "SK",
            "AWS_ENDPOINT_URL_S3": s3.endpoint,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_LAMBDA_FUNCTION_NAME": "chat",
            "AWS_REGION": "us-east-1",
            "HOTPLATE_BUCKET": BUCKET,
            "HOTPLATE_MANIFEST_SHA256": version.settings.manifest_sha256,
            "HOTPLATE_MODEL": "tiny",
            "HOTPLATE_SIGNING_KEYS": SeedSigner().pinned,
            "HOTPLATE_VERSION": version.settings.version,
            "LAMBDA_TASK_ROOT": str(ROOT),
            "PATH": os.environ["PATH"],
            "_HANDLER": "functions.chat.app.lambda_handler",
        }
        with StreamingFunction([str(BOOTSTRAP), sys.executable], environment, timeout_s=30) as running:
            yield running


def chat(**more: Any) -> Call:
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": "tiny", "messages": messages, "temperature": 0, "stream": True, **more}
    event = {"httpMethod": "POST", "path": "/v1/chat/completions", "headers": {}, "body": json.dumps(body)}
    return Call(json.dumps(event).encode())


def test_each_token_is_a_chunk_on_the_wire(function: StreamingFunction) -> None:
    parts: list[bytes] = []
    call = chat(max_tokens=20)
    function.run(call, parts.append)
    split = split_prelude(b"".join(parts))
    assert split is not None
    head, body = split
    assert (head["statusCode"], call.is_streamed) == (200, True)
    assert head["headers"]["content-type"].startswith("text/event-stream")
    events = body.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert len(parts) > 5


def test_what_is_refused_has_its_status(function: StreamingFunction) -> None:
    parts: list[bytes] = []
    function.run(chat(n=2), parts.append)
    split = split_prelude(b"".join(parts))
    assert split is not None
    assert split[0]["statusCode"] == 400
    assert json.loads(split[1])["error"]["param"] == "n"


def test_who_hangs_up_ends_the_generation_with_the_token_at_hand(function: StreamingFunction) -> None:
    call = chat(max_tokens=400)
    parts: list[bytes] = []

    def deliver(part: bytes) -> None:
        parts.append(part)
        if len(parts) == 3:
            call.cancel()

    function.run(call, deliver)
    again: list[bytes] = []
    function.run(chat(max_tokens=3), again.append)
    assert again
    lines = [json.loads(line) for line in function.log() if line.startswith('{"hotplate":"usage"')]
    cut, whole = lines[-2:]
    assert (cut["status"], whole["status"]) == (499, 200)
    # Tokens that were made while the connection was being closed: the loop looks before each chunk.
    assert cut["tokens_out"] < 100
    assert function.starts == 1
