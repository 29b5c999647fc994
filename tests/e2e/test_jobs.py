"""A job on the local cloud: submitted, fetched, and the same as what is answered at once."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support.http_call import call

if TYPE_CHECKING:
    from hotplate_tools.local.up import LocalCloud

PIXELS = {"name": "image", "datatype": "FP32", "shape": [1, 28, 28, 1], "data": [0.25] * 784}
ASKED = {"inputs": [PIXELS], "id": "one"}


def put(url: str, job: str, request: dict[str, Any]) -> Any:
    body = json.dumps({"model": "digits", "request": request}).encode()
    return call(url, "PUT", f"/jobs/{job}", body)


def ended(url: str, job: str) -> dict[str, Any]:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        answer = call(url, "GET", f"/jobs/{job}")
        assert answer.status == 200, answer.body
        told: dict[str, Any] = json.loads(answer.body)
        if told["state"] not in ("queued", "running"):
            return told
        time.sleep(0.5)
    raise AssertionError(f"not done after 90 s: {told}")


def test_job_answers_what_is_answered_at_once_bit_for_bit(cloud: LocalCloud) -> None:
    assert put(cloud.url, "one", ASKED).status == 202
    told = ended(cloud.url, "one")
    assert told["state"] == "succeeded", told
    with urllib.request.urlopen(told["answer"]["url"]) as stream:  # noqa: S310 - the local cloud's
        answer = stream.read()
    online = call(cloud.url, "POST", "/v2/models/digits/infer", json.dumps(ASKED).encode())
    assert (online.status, answer) == (200, online.body)
    assert told["answer"]["body"] == json.loads(online.body)
    assert put(cloud.url, "one", ASKED).json()["state"] == "succeeded"
    assert put(cloud.url, "one", {"inputs": []}).status == 409
    assert call(cloud.url, "DELETE", "/jobs/one").status == 409
    assert urlsplit(told["answer"]["url"]).path.endswith("/answer.json")


def test_job_that_the_model_refuses_fails_with_its_words(cloud: LocalCloud) -> None:
    assert put(cloud.url, "two", {"inputs": []}).status == 202
    told = ended(cloud.url, "two")
    assert (told["state"], told["error"]["status"], told["attempts"]) == ("failed", 400, 1)
    online = call(cloud.url, "POST", "/v2/models/digits/infer", b'{"inputs": []}')
    assert json.loads(told["error"]["body"])["error"] == online.json()["error"]
