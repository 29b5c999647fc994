"""Nothing of what callers send is in any log: every route is asked with words that are easy to find again."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hotplate.tenants.keys import new_key, read_scopes
from hotplate_tools.batch.stack import batch_of
from hotplate_tools.deployed import DeployedStack
from hotplate_tools.keys.manage import create
from hotplate_tools.keys.stack import callers_of
from tests.support.http_call import Answer, call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.local.up import LocalCloud

# Words, a number, an index and bytes that nothing else here has.
WORD = "pineapple-umbrella-7391"
NUMBER = 0.7391846502
INDEX = 739184650
BITS = struct.pack("<f", 0.73918462)
# How long a line may take from a function to its log, in seconds.
SETTLED_S = 2.0

PIXELS = {"name": "image", "datatype": "FP32", "shape": [1, 28, 28, 1], "data": [NUMBER] * 784}
TEXT = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [WORD]}


class Asked:
    """A caller that remembers the secrets it sent and was given, and the status of each answer."""

    def __init__(self, cloud: LocalCloud, key: str) -> None:
        self.cloud, self.key = cloud, key
        self.statuses: dict[str, int] = {}
        self.states: dict[str, str] = {}
        self.secrets = [WORD, str(NUMBER), str(INDEX), key]

    def __call__(
        self, name: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        answer = call(self.cloud.url, method, path, raw, {"x-api-key": self.key, **(headers or {})})
        self.statuses[name] = answer.status
        return answer


@pytest.fixture(scope="module")
def asked(keyed: LocalCloud) -> Asked:
    key = create(callers_of(DeployedStack("hotplate", keyed.endpoint)), "marked", read_scopes(["*:*"])).secret
    found = Asked(keyed, key)
    _ask_models(found)
    _ask_what_is_refused(found)
    _ask_other_protocols(found)
    _ask_jobs(found)
    _upload(found)
    _chat(found)
    _drop_a_file(found)
    time.sleep(SETTLED_S)
    return found


def _ask_models(ask: Asked) -> None:
    digits, head = "/v2/models/digits/infer", {"name": "image", "datatype": "FP32", "shape": [1, 28, 28, 1]}
    ask("infer", "POST", digits, {"inputs": [PIXELS], "id": WORD})
    tensor = BITS * 784
    part = json.dumps({"inputs": [head | {"parameters": {"binary_data_size": len(tensor)}}]}).encode()
    ask(
        "binary",
        "POST",
        digits,
        part + tensor,
        {"Inference-Header-Content-Length": str(len(part)), "Content-Type": "application/octet-stream"},
    )
    ask("text", "POST", "/v2/models/spam/infer", {"inputs": [TEXT]})
    index = {"name": "x", "datatype": "INT64", "shape": [1], "data": [INDEX]}
    ask("model fails", "POST", "/v2/models/picker/infer", {"inputs": [index]})
    picture = {"name": "image_file", "datatype": "BYTES", "shape": [1], "data": [WORD]}
    ask("no picture", "POST", digits, {"inputs": [picture]})


def _ask_what_is_refused(ask: Asked) -> None:
    digits = "/v2/models/digits/infer"
    ask("no JSON", "POST", digits, b'{"' + WORD.encode())
    ask("unknown input", "POST", digits, {"inputs": [TEXT | {"name": WORD}]})
    ask("no number", "POST", digits, {"inputs": [PIXELS | {"data": [WORD] * 784}]})
    ask("unknown model", "POST", f"/v2/models/{WORD}/infer", {"inputs": []})
    ask("unknown path", "GET", f"/v2/{WORD}")
    ask("query", "GET", f"/usage?model={WORD}")
    for name, wrong in (("wrong key", new_key()), ("no key at all", WORD)):
        ask.secrets.append(wrong)
        ask(name, "POST", digits, {"inputs": [PIXELS]}, {"x-api-key": wrong})
    ask.secrets.append(token := f"eyJhbGciOiJub25lIn0.{base64.urlsafe_b64encode(WORD.encode()).decode()}.")
    ask("token", "GET", "/v2", headers={"x-api-key": "", "Authorization": f"Bearer {token}"})


def _ask_other_protocols(ask: Asked) -> None:
    ask("predict", "POST", "/v1/models/digits:predict", {"instances": [{"image": [[[NUMBER]] * 28] * 28}]})
    ask("embeddings", "POST", "/v1/embeddings", {"model": "sentence-embeddings", "input": [WORD]})
    ask("bad embeddings", "POST", "/v1/embeddings", {"model": "digits", "input": [WORD]})
    ask("invocation", "POST", "/endpoints/digits/invocations", {"inputs": [PIXELS]})
    target = {"X-Amzn-SageMaker-Target-Model": "spam", "Content-Type": "text/plain"}
    ask("container", "POST", "/invocations", WORD.encode(), target)
    index = {"name": "x", "datatype": "INT64", "shape": [1], "data": [INDEX]}
    ask("relayed fault", "POST", "/endpoints/picker/invocations", {"inputs": [index]})


def _ask_jobs(ask: Asked) -> None:
    for job, model, tensor in (("a", "spam", TEXT), ("b", "spam", TEXT | {"name": WORD})):
        ask(f"job {job}", "PUT", f"/jobs/{job}", {"model": model, "request": {"inputs": [tensor]}})
        told = _ended(ask, job)
        if "answer" in told:
            (signature,) = parse_qs(urlsplit(told["answer"]["url"]).query)["X-Amz-Signature"]
            ask.secrets.append(signature)
    ask("bad job", "PUT", "/jobs/c", {"model": "spam", "request": [WORD]})


def _ended(ask: Asked, job: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        told: dict[str, Any] = ask(f"state of {job}", "GET", f"/jobs/{job}").json()
        if told["state"] not in ("queued", "running"):
            return told
        time.sleep(0.5)
    raise AssertionError(f"not done after 60 s: {told}")


def _upload(ask: Asked) -> None:
    body = WORD.encode()
    given = ask(
        "sign", "POST", "/uploads", {"size": len(body), "content_type": "application/octet-stream"}
    ).json()
    address = urlsplit(given["upload_url"])
    (signature,) = parse_qs(address.query)["X-Amz-Signature"]
    ask.secrets.append(signature)
    base, path = f"{address.scheme}://{address.netloc}", f"{address.path}?{address.query}"
    assert call(base, "PUT", path, body, given["headers"]).status == 200
    referred: dict[str, Any] = {name: TEXT[name] for name in ("name", "datatype", "shape")}
    referred["parameters"] = {"input_uri": given["input_uri"]}
    ask("by reference", "POST", "/v2/models/spam/infer", {"inputs": [referred]})
    ask("bad upload", "POST", "/uploads", {"size": WORD, "content_type": WORD})


def _chat(ask: Asked) -> None:
    path, said = "/v1/chat/completions", [{"role": "user", "content": f"Say {WORD}."}]
    short = {"model": "smollm2", "messages": said, "max_tokens": 2}
    ask("chat", "POST", path, short)
    ask("streamed chat", "POST", path, short | {"stream": True})
    ask("bad chat", "POST", path, short | {WORD: WORD})
    ask(
        "generate",
        "POST",
        "/v2/models/smollm2/generate_stream",
        {"text_input": WORD, "parameters": {WORD: 1}},
    )


def _drop_a_file(ask: Asked) -> None:
    """Have a good and a bad row predicted, and a file that is none refused."""
    batch = batch_of(DeployedStack("hotplate", ask.cloud.endpoint))
    rows = [json.dumps({"text": WORD}), json.dumps({"text": {WORD: WORD}})]
    for name, body in (("marked.jsonl", "\n".join(rows)), ("marked.csv", f'text\n"{WORD}')):
        key = f"in/-/spam/{name}"
        etag = batch.s3.put_object(Bucket=batch.bucket, Key=key, Body=body.encode())["ETag"]
        until = time.monotonic() + 60
        while (told := batch.find(key, etag.strip('"'))) is None or told["state"] in (
            "splitting",
            "running",
            "finishing",
        ):
            assert time.monotonic() < until, f"not done after 60 s: {told}"
            time.sleep(0.5)
        ask.states[name] = told["state"]


def test_what_was_asked_went_the_ways_that_it_should(asked: Asked) -> None:
    assert asked.statuses == {
        "infer": 200,
        "binary": 200,
        "text": 200,
        "model fails": 500,
        "no picture": 400,
        "no JSON": 400,
        "unknown input": 400,
        "no number": 400,
        "unknown model": 404,
        "unknown path": 404,
        "query": 200,
        "wrong key": 401,
        "no key at all": 401,
        "token": 401,
        "predict": 200,
        "embeddings": 200,
        "bad embeddings": 404,
        "invocation": 200,
        "container": 200,
        "relayed fault": 500,
        "job a": 202,
        "state of a": 200,
        "job b": 202,
        "state of b": 200,
        "bad job": 400,
        "sign": 201,
        "by reference": 200,
        "bad upload": 400,
        "chat": 200,
        "streamed chat": 200,
        "bad chat": 400,
        "generate": 400,
    }
    assert asked.states == {"marked.jsonl": "succeeded", "marked.csv": "failed"}


def test_every_function_that_was_asked_logged_something(asked: Asked) -> None:
    silent = [name for name, lines in _logs(asked.cloud).items() if not lines.strip()]
    # Of those of models only some were asked.
    assert not {"AuthorizerLogGroup", "DigitsLogGroup", "SpamLogGroup", "PickerLogGroup"} & set(silent)
    assert not {"RelayLogGroup", "JobsLogGroup", "UploadsLogGroup", "Smollm2LogGroup", "BatchLogGroup"} & set(
        silent
    )


def test_fault_of_a_model_is_in_its_log(asked: Asked) -> None:
    (line,) = [
        each for each in _logs(asked.cloud)["PickerLogGroup"].splitlines() if "InferenceError" in each
    ][:1]
    assert "the graph failed" in json.loads(line)["message"]


def test_no_log_holds_what_was_sent(asked: Asked) -> None:
    sought = {form for secret in asked.secrets for form in _forms(secret.encode())} | _forms(BITS * 8)
    logs = {**_logs(asked.cloud), "the cloud's own": asked.cloud.own_log()}
    found = [
        (name, form, text[max(0, text.index(form) - 200) : text.index(form) + 200])
        for name, text in logs.items()
        for form in sought
        if form in text
    ]
    assert found == []


def _forms(secret: bytes) -> set[str]:
    """Return how a secret may stand in a text: as it is, in hex, in Python's notation, in base64."""
    # Of base64 the part that does not depend on what stands before and behind, for each of three offsets.
    encoded = {base64.b64encode(b"\0" * at + secret)[at + 2 : -4].decode() for at in range(3)}
    return {secret.decode(errors="replace"), secret.hex(), repr(secret)[2:-1], *encoded}


def _logs(cloud: LocalCloud) -> dict[str, str]:
    """Return all that is in each log group of the stack, by the last part of its name."""
    client = cloud.client("logs")
    groups = [
        group["logGroupName"]
        for page in client.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    ]
    return {
        group.rpartition("/")[2]: "\n".join(
            event["message"]
            for page in client.get_paginator("filter_log_events").paginate(logGroupName=group)
            for event in page["events"]
        )
        for group in groups
    }


def test_request_about_somebody_is_kept_where_the_operator_says_so_until_it_is_deleted(
    keyed: LocalCloud, asked: Asked
) -> None:
    about = {"Hotplate-Subject": "jane@example.com"}
    assert asked("about jane", "POST", "/v2/models/digits/infer", {"inputs": [PIXELS]}, about).status == 200
    job = {"model": "digits", "request": {"inputs": [PIXELS]}}
    assert asked("later, about jane", "PUT", "/jobs/jane", job, about).status == 202
    _ended(asked, "jane")
    command = [sys.executable, "-m", "hotplate_tools.cli", "data", "delete-by-subject", "marked"]
    command += ["jane@example.com", "--endpoint", keyed.endpoint, "--json"]
    found = [
        json.loads(subprocess.run(each, check=True, capture_output=True, text=True).stdout)["objects"]
        for each in ([*command, "--dry-run"], command, command)
    ]
    assert found == [2, 2, 0]
