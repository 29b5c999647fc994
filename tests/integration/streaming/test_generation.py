"""The chat function on the runtime loop, with a tiny model: what a caller of Lambda would get, and when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.streaming.conftest import ROOT, Asked, Start
from tests.support.faulty_s3 import BUCKET, faulty_s3
from tests.support.signing import SeedSigner
from tests.support.tiny_llama import published_llama

if TYPE_CHECKING:
    from hotplate_tools.local.streaming.process import StreamingFunction


@pytest.fixture
def chat(start: Start, tmp_path: Path) -> Iterator[StreamingFunction]:
    version = published_llama()
    with faulty_s3() as s3:
        s3.objects.update(version.reader.objects)
        yield start(
            {
                "AWS_ACCESS_KEY_ID": "AK",
                "AWS_ENDPOINT_URL_S3": s3.endpoint,
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
                "AWS_SECRET_ACCESS_KEY": "SK",
                "HOTPLATE_BUCKET": BUCKET,
                "HOTPLATE_MANIFEST_SHA256": version.settings.manifest_sha256,
                "HOTPLATE_MODEL": version.settings.model,
                "HOTPLATE_SIGNING_KEYS": SeedSigner().pinned,
                "HOTPLATE_VERSION": version.settings.version,
                "PYTHONPATH": str(ROOT),
                "TMPDIR": str(tmp_path),
                "_HANDLER": "functions.chat.app.lambda_handler",
            }
        )


def event(**more: Any) -> dict[str, Any]:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
    body |= {"temperature": 0} | more
    return {"httpMethod": "POST", "path": "/v1/chat/completions", "headers": {}, "body": json.dumps(body)}


def usage_of(function: StreamingFunction) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in function.log() if line.startswith('{"hotplate":"usage"')]
    return [{key: line[key] for key in ("status", "cold")} for line in lines]


def test_a_chat_is_streamed_event_by_event_or_answered_whole(chat: StreamingFunction) -> None:
    streamed = Asked(chat, event(stream=True))
    head, body = streamed.answer()
    assert head["statusCode"] == 200
    assert head["headers"]["content-type"] == "text/event-stream; charset=utf-8"
    assert body.endswith(b"data: [DONE]\n\n")
    assert len(streamed.parts) > 3
    pieces = [json.loads(line[6:]) for line in body.decode().split("\n\n")[:-2]]
    text = "".join(each["choices"][0]["delta"].get("content", "") for each in pieces if each["choices"])
    head, body = Asked(chat, event()).answer()
    assert head["statusCode"] == 200
    assert json.loads(body)["choices"][0]["message"]["content"] == text
    assert usage_of(chat) == [{"status": 200, "cold": True}, {"status": 200, "cold": False}]


def test_what_is_refused_has_its_status_and_no_stream(chat: StreamingFunction) -> None:
    head, body = Asked(chat, event(stream=True, n=2)).answer()
    assert head["statusCode"] == 400
    assert "n" in json.loads(body)["error"]["message"]


def test_a_caller_who_leaves_stops_the_generation(chat: StreamingFunction) -> None:
    Asked(chat, event()).outcome()
    asked = Asked(chat, event(stream=True, max_tokens=400))
    asked.wait_parts(2)
    asked.call.cancel()
    assert asked.outcome().is_broken
    assert usage_of(chat)[-1] == {"status": 499, "cold": False}
    assert Asked(chat, event()).answer()[0]["statusCode"] == 200
    assert chat.starts == 1
