"""A job on the local cloud: submitted, fetched, and the same as what is answered at once."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from hotplate.client import Client
from hotplate.protocol.request import encode_request
from hotplate.protocol.types import RequestOutput, Tensor
from hotplate.tenants.webhooks import sign
from hotplate_tools.deployed import DeployedStack
from hotplate_tools.keys.manage import webhook_secret
from hotplate_tools.keys.stack import callers_of
from tests.support.http_call import call
from tests.support.receiver import receiver

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


def test_caller_who_prefers_not_to_wait_gets_the_same_later(cloud: LocalCloud) -> None:
    pixels = np.full((1, 28, 28, 1), 0.25, np.float32)
    body, length = encode_request(
        [Tensor("image", "FP32", pixels)], outputs=[RequestOutput("digit", binary=True)]
    )
    sent = {"Inference-Header-Content-Length": str(length), "Content-Type": "application/octet-stream"}
    embeddings = json.dumps({"model": "sentence-embeddings", "input": ["later"]}).encode()
    for path, request, headers in (
        ("/v2/models/digits/infer", body, sent),
        ("/v1/embeddings", embeddings, {"Content-Type": "application/json"}),
    ):
        taken = call(cloud.url, "POST", path, request, {**headers, "Prefer": "respond-async"})
        assert (taken.status, taken.headers["preference-applied"]) == (202, "respond-async"), taken.body
        told = ended(cloud.url, taken.headers["location"].removeprefix("/jobs/"))
        assert told["state"] == "succeeded", told
        online = call(cloud.url, "POST", path, request, headers)
        with urllib.request.urlopen(told["answer"]["url"]) as stream:  # noqa: S310 - the local cloud's
            assert (online.status, stream.read()) == (200, online.body)
        kept = told["answer"]["headers"]
        assert {name: online.headers[name] for name in kept} == kept


def test_receiver_that_is_down_at_first_is_told_in_the_end(cloud: LocalCloud) -> None:
    secret = webhook_secret(callers_of(DeployedStack("hotplate", cloud.endpoint)), "-")
    with receiver(503, 204) as (hook, told):
        body = json.dumps({"model": "digits", "request": ASKED, "webhook": hook}).encode()
        assert call(cloud.url, "PUT", "/jobs/told", body).status == 202
        assert ended(cloud.url, "told")["state"] == "succeeded"
        until = time.monotonic() + 90
        while time.monotonic() < until:
            status = call(cloud.url, "GET", "/jobs/told").json()["webhook"]
            if status["state"] != "waiting":
                break
            time.sleep(0.5)
    assert status == {"url": hook, "state": "delivered", "status": 204}
    assert len(told) == 2
    headers, sent = told[-1]
    at, message = int(headers["webhook-timestamp"]), headers["webhook-id"]
    assert headers["webhook-signature"] == sign(secret, message=message, at=at, body=sent)
    assert (json.loads(sent)["type"], json.loads(sent)["data"]["id"]) == ("job.succeeded", "told")


def test_client_gets_by_a_job_what_it_gets_at_once(cloud: LocalCloud) -> None:
    with Client(cloud.url) as client:
        model, pixels = client.model("digits"), np.full((2, 28, 28, 1), 0.25, np.float32)
        later = model.submit(pixels, id="by-the-client").result(timeout_s=90)
        assert np.array_equal(later["probabilities"], model.predict(pixels)["probabilities"])
        assert client.job("by-the-client").status().state == "succeeded"
