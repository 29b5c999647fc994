"""The catalogue with a registry, with one that holds other things than were pinned, and with none."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from hotplate.aws.s3_store import S3Store
from hotplate.errors import SettingsError
from hotplate.manifest.layout import manifest_key
from hotplate.manifest.schema import encode
from hotplate_tools.console import Console
from hotplate_tools.project import project_root
from hotplate_tools.publish.pipeline import Described, describe, publish_prepared
from tests.support.tiny_models import affine, write_folder

OPENAI = ("/v1/models", "/openai/v1/models")


@dataclass
class Context:
    aws_request_id: str = "req-1"
    function_name: str = "catalogue"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:catalogue"


@dataclass
class Asked:
    status: int
    body: Any
    headers: dict[str, str]


def ask(app: ModuleType, path: str, method: str = "GET", body: str | None = None) -> Asked:
    event = {
        "httpMethod": method,
        "path": path,
        "headers": {},
        "body": body,
        "requestContext": {"requestId": "r"},
    }
    result = app.lambda_handler(event, Context())
    headers = {name.lower(): values[0] for name, values in result["multiValueHeaders"].items()}
    return Asked(result["statusCode"], json.loads(result["body"]), headers)


def get(app: ModuleType, path: str) -> tuple[int, Any]:
    asked = ask(app, path)
    return asked.status, asked.body


@pytest.fixture
def described(tmp_path: Path) -> Described:
    return describe(write_folder(tmp_path / "tiny", model=affine()), "tiny")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, described: Described) -> Iterator[ModuleType]:
    """The function as Lambda imports it, told of `tiny`, which is there, and of `away`, which is not."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("HOTPLATE_BUCKET", "models")
    pinned = f"tiny {described.version} {described.manifest_sha256} 1769"
    monkeypatch.setenv("HOTPLATE_SERVED", f"{pinned},away 0123456789ab {'0' * 64} 512")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="models")
        publish_prepared(described, store=S3Store(s3, "models"), console=Console(as_json=True))
        s3.put_object(Bucket="models", Key="models/not-served/aliases/live.json", Body=b"{}")
        import functions.catalogue.app as module

        yield importlib.reload(module)


def take_bucket_away() -> None:
    bucket = boto3.resource("s3").Bucket("models")
    bucket.objects.all().delete()
    bucket.delete()


def test_server_says_what_it_is(app: ModuleType) -> None:
    assert get(app, "/v2")[1]["extensions"] == ["binary_tensor_data", "model_repository"]
    assert get(app, "/v2/health/live") == (200, {"live": True})
    assert get(app, "/v2/health/ready") == (200, {"ready": True})


def test_unknown_model_is_told_what_is_here(app: ModuleType) -> None:
    status, body = get(app, "/v2/models/nope/infer")
    assert status == 404
    assert body["error"] == "unknown model 'nope'; this server has: away, tiny"


def test_unknown_path_is_a_404(app: ModuleType) -> None:
    status, body = get(app, "/v2/nothing")
    assert (status, body["type"]) == (404, "urn:hotplate:error:UnknownPathError")


@pytest.mark.parametrize("body", [None, "", "{}", '{"ready": false}'])
def test_index_lists_what_is_served_and_why_it_does_not_answer(
    app: ModuleType, described: Described, body: str | None
) -> None:
    assert ask(app, "/v2/repository/index", "POST", body).body == [
        {
            "name": "away",
            "version": "0123456789ab",
            "state": "UNAVAILABLE",
            "reason": "version 0123456789ab is not published",
        },
        {"name": "tiny", "version": described.version, "state": "READY", "reason": ""},
    ]


def test_index_of_the_ready_leaves_out_the_others(app: ModuleType) -> None:
    listed = ask(app, "/v2/repository/index", "POST", '{"ready": true}').body
    assert [each["name"] for each in listed] == ["tiny"]


@pytest.mark.parametrize("body", ["{", "[]", '{"ready": "yes"}', '{"ready": null}'])
def test_index_refuses_a_body_that_is_none(app: ModuleType, body: str) -> None:
    asked = ask(app, "/v2/repository/index", "POST", body)
    assert (asked.status, asked.body["type"]) == (400, "urn:hotplate:error:MalformedRequestError")


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_no_model_is_loaded_by_a_call(app: ModuleType, verb: str) -> None:
    asked = ask(app, f"/v2/repository/models/tiny/{verb}", "POST", "{}")
    assert (asked.status, asked.headers["allow"]) == (405, "")
    assert "as requests come and go" in asked.body["error"]


@pytest.mark.parametrize("path", OPENAI)
def test_openai_list_holds_what_answers_and_what_the_manifest_says(
    app: ModuleType, described: Described, path: str
) -> None:
    listed = get(app, path)[1]
    assert (listed["object"], [each["id"] for each in listed["data"]]) == ("list", ["tiny"])
    (model,) = listed["data"]
    manifest, version = described.manifest, described.version
    assert (model["object"], model["owned_by"], model["version"]) == ("model", "hotplate", version)
    written = boto3.client("s3").head_object(Bucket="models", Key=manifest_key("tiny", version))
    assert model["created"] == int(written["LastModified"].timestamp())
    assert [each["name"] for each in model["inputs"]] == [each.name for each in manifest.inputs]
    assert model["metrics"] == manifest.provenance.metrics
    assert (model["size"], model["memory_mb"]) == (manifest.file("graph").size, 1769)
    assert model["card"] == f"/v2/models/tiny/versions/{version}/card"
    assert get(app, f"{path}/tiny") == (200, model)


@pytest.mark.parametrize(
    ("name", "words"), [("nope", "this server has: away, tiny"), ("away", "is not ready: version 0123")]
)
@pytest.mark.parametrize("path", OPENAI)
def test_openai_model_that_does_not_answer_is_refused_in_openais_words(
    app: ModuleType, path: str, name: str, words: str
) -> None:
    status, body = get(app, f"{path}/{name}")
    assert (status, body["error"]["code"], body["error"]["param"]) == (404, "model_not_found", "model")
    assert words in body["error"]["message"]


def test_openai_path_that_is_not_there_is_refused_in_openais_words(app: ModuleType) -> None:
    asked = ask(app, "/v1/completions", "POST", "{}")
    assert (asked.status, asked.body["error"]["type"]) == (404, "invalid_request_error")


@pytest.mark.parametrize("raw", [b"{}", b"x" * 2_000_000], ids=["another", "too long"])
def test_manifest_that_is_not_the_pinned_one_is_not_told(
    app: ModuleType, described: Described, raw: bytes
) -> None:
    key = manifest_key("tiny", described.version)
    boto3.client("s3").put_object(Bucket="models", Key=key, Body=raw)
    (entry,) = [e for e in ask(app, "/v2/repository/index", "POST").body if e["name"] == "tiny"]
    assert entry["reason"] == "the manifest in the registry is not the one that is pinned"
    assert get(app, "/v1/models")[1]["data"] == []


def test_what_is_missing_is_looked_for_again_after_a_while_and_what_was_verified_never(
    app: ModuleType, described: Described, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = manifest_key("tiny", described.version)
    s3 = boto3.client("s3")
    raw = s3.get_object(Bucket="models", Key=key)["Body"].read()
    s3.delete_object(Bucket="models", Key=key)
    assert get(app, "/v1/models")[1]["data"] == []
    s3.put_object(Bucket="models", Key=key, Body=raw)
    assert get(app, "/v1/models")[1]["data"] == []
    monkeypatch.setattr("functions.catalogue.served.FAULT_AGE_S", 0.0)
    assert [each["id"] for each in get(app, "/v1/models")[1]["data"]] == ["tiny"]
    s3.delete_object(Bucket="models", Key=key)
    assert [each["id"] for each in get(app, "/v1/models")[1]["data"]] == ["tiny"]


def test_registry_that_cannot_be_read_is_said_in_each_apis_words(app: ModuleType) -> None:
    take_bucket_away()
    assert get(app, "/v2/health/ready") == (503, {"ready": False})
    index, openai = ask(app, "/v2/repository/index", "POST"), ask(app, "/v1/models")
    for asked in (index, openai):
        assert (asked.status, asked.headers["retry-after"]) == (503, "2")
    assert index.body["type"] == "urn:hotplate:error:StoreUnavailableError"
    assert openai.body["error"]["type"] == "server_error"
    # What needs no registry still answers.
    assert get(app, "/v2/models/nope/infer")[0] == 404


@pytest.mark.parametrize("tier", ["sagemaker-async", "sagemaker-realtime"])
def test_model_on_sagemaker_is_listed_with_what_it_answers_there(
    app: ModuleType, described: Described, monkeypatch: pytest.MonkeyPatch, tier: str
) -> None:
    pinned = f"tiny {described.version} {described.manifest_sha256}"
    monkeypatch.setenv("HOTPLATE_SERVED", f",{pinned} {tier}")
    importlib.reload(app)
    entry = {"name": "tiny", "version": described.version, "state": "READY", "reason": ""}
    assert ask(app, "/v2/repository/index", "POST").body == [entry]
    told = get(app, "/v1/models/tiny")[1]
    assert (told["tier"], told["memory_mb"], told["card"]) == (tier, None, None)
    paths = {each for each in get(app, "/openapi.json")[1]["paths"] if "tiny" in each}
    base = "/v2/models/tiny"
    ends = ("", "/ready", "/infer", "/versions/{version}/infer", "/docs", "/docs/dataplane.json")
    assert paths == {base + end for end in ends}
    # A function of the same name is asked before the endpoint, wherever it stands in the list.
    for text in (f"{pinned} {tier},{pinned} 512", f"{pinned} 512,{pinned} {tier}"):
        monkeypatch.setenv("HOTPLATE_SERVED", text)
        importlib.reload(app)
        told = get(app, "/v1/models/tiny")[1]
        assert (told["tier"], told["memory_mb"]) == ("lambda-zip", 512)


@pytest.mark.parametrize("text", ["tiny", "tiny 1 2 3 4", "tiny 0123 abcd large"])
def test_pins_that_are_none_stop_the_function(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("HOTPLATE_SERVED", text)
    with pytest.raises(SettingsError, match="name version sha256 memory"):
        importlib.reload(app)


FIRST_LISTING = """
import io, sys
from datetime import UTC, datetime
from hashlib import sha256
from functions.catalogue.served import Pin, Registry

raw = sys.stdin.buffer.read()
class Client:
    def get_object(self, **_):
        return {"Body": io.BytesIO(raw), "LastModified": datetime.now(UTC)}

sys.setswitchinterval(1e-6)
names = [f"m{number}" for number in range(16)]
pins = {name: Pin(name, "1.0.0", sha256(raw).hexdigest(), 512) for name in names}
served = Registry(Client(), "bucket", pins).served()
print(sum(each.manifest is not None for each in served))
"""


@pytest.mark.parametrize("attempt", range(4))
def test_first_listing_of_a_process_does_not_crash_it(described: Described, attempt: int) -> None:
    # Threads that decode a type for the first time do, three times in four.
    raw = encode(described.manifest)
    root = project_root()
    paths = os.pathsep.join(map(str, (root, root / "layers/serving/python")))
    done = subprocess.run(
        [sys.executable, "-c", FIRST_LISTING],
        input=raw,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (done.returncode, done.stdout) == (0, b"16\n"), done.stderr


def test_openapi_describes_the_models_that_are_ready(app: ModuleType, described: Described) -> None:
    status, whole = get(app, "/openapi.json")
    assert (status, whole["openapi"], whole["servers"]) == (200, "3.1.0", [{"url": "."}])
    assert "/v2/models/tiny/infer" in whole["paths"]
    assert "/v2/models/away/infer" not in whole["paths"]
    version = whole["components"]["schemas"]["tiny.response"]["properties"]["model_version"]
    assert version == {"const": described.version}
    status, one = get(app, "/v2/models/tiny/docs/dataplane.json")
    assert (status, one["servers"]) == (200, [{"url": "../../../.."}])
    assert set(one["paths"]) < set(whole["paths"])


@pytest.mark.parametrize("suffix", ["", "/dataplane.json"])
def test_document_of_a_model_that_is_not_there_or_not_ready_is_an_error(app: ModuleType, suffix: str) -> None:
    assert get(app, f"/v2/models/nope/docs{suffix}")[0] == 404
    away = ask(app, f"/v2/models/away/docs{suffix}")
    assert (away.status, away.headers["retry-after"]) == (503, "2")


def test_page_shows_the_signature_and_runs_nothing(app: ModuleType) -> None:
    event = {"httpMethod": "GET", "path": "/v2/models/tiny/docs", "headers": {}, "requestContext": {}}
    result = app.lambda_handler(event, Context())
    headers = {name.lower(): values[0] for name, values in result["multiValueHeaders"].items()}
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "<h1>tiny</h1>" in result["body"]
    assert "<script" not in result["body"]


def test_ping_answers_as_sagemaker_asks(app: ModuleType) -> None:
    assert get(app, "/ping") == (200, {"live": True})
