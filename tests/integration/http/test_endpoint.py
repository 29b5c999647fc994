"""One request's whole way through a real session, and what happens when the model cannot load."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from hotplate.errors import DigestMismatchError, HotplateError, StepUnavailableError, StoreUnavailableError
from hotplate.http import endpoint as endpoint_module
from hotplate.http.endpoint import Endpoint
from hotplate.manifest.schema import Plan
from hotplate.prices import request_nano_usd
from hotplate.protocol.response import decode_response
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.loader import load_model
from hotplate.runtime.program import program_model
from hotplate.runtime.transforms import Transforms
from hotplate.tenants.captures import subject_prefix
from hotplate.tenants.usage import read_usage
from tests.support.lambda_context import Context
from tests.support.published import published, published_program, republished

if TYPE_CHECKING:
    from hotplate.runtime.model import Model


def event(method: str = "POST", path: str = "/v2/models/affine/infer", body: Any = None) -> dict[str, Any]:
    return {"httpMethod": method, "path": path, "headers": {}, "body": json.dumps(body) if body else None}


ROWS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}


def loader(transforms: Transforms | None = None) -> Callable[[], Model]:
    version = published()
    return lambda: load_model(version.settings, version.reader, transforms)


class Flaky:
    """Fails with the faults given, one a call, then loads."""

    def __init__(self, *faults: HotplateError) -> None:
        self.faults = list(faults)
        self.calls = 0
        self._load = loader()

    def __call__(self) -> Model:
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)
        return self._load()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "RETRY_AFTER_S", 0)


def test_request_is_answered() -> None:
    result = Endpoint(loader())(event(body=ROWS), Context())
    assert result["statusCode"] == 200
    assert json.loads(result["body"])["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [2.0, 4.0, 6.0]}
    ]
    assert result["headers"]["x-request-id"] == "req-1"


def test_only_the_first_answer_tells_the_cold_phases() -> None:
    endpoint = Endpoint(loader())
    timings = [endpoint(event(body=ROWS), Context())["headers"]["server-timing"] for _ in range(2)]
    assert [part.split(";")[0] for part in timings[0].split(", ")] == [
        "runtime", "imports", "manifest", "fetch", "session", "total"
    ]  # fmt: skip
    assert timings[1].startswith("total;dur=")


def test_log_has_one_cold_line_and_one_usage_line_a_request_and_no_payload(
    capsys: pytest.CaptureFixture[str],
) -> None:
    endpoint = Endpoint(loader())
    body = {"inputs": [{**ROWS["inputs"][0], "data": [123.25, 2, 3]}]}
    endpoint(event(body=body), Context())
    endpoint(event(body={"inputs": []}), Context("req-2"))
    text = capsys.readouterr().out
    cold, first, second = (json.loads(line) for line in text.splitlines())
    assert cold["hotplate"] == "cold"
    assert set(cold["phases_ms"]) == {"runtime", "imports", "manifest", "fetch", "session"}
    assert (first["hotplate"], first["status"], first["rows"], first["cold"]) == ("usage", 200, 1, True)
    assert (second["request_id"], second["status"], second["cold"]) == ("req-2", 400, False)
    assert first["init_ms"] == math.ceil(sum(cold["phases_ms"].values()) - 0.001)
    assert (second["init_ms"], second["billed_ms"]) == (0, math.ceil(second["ms"]))
    assert second["nano_usd"] == request_nano_usd(second["billed_ms"], 1769) > 3700
    assert all(usage and usage.tenant == "-" for usage in map(read_usage, text.splitlines()[1:]))
    assert "123.25" not in text


@pytest.mark.parametrize("path", ["/v2/models/affine/infer", "/v1/models/affine:predict"])
def test_more_rows_than_the_plan_takes_are_refused_on_lambda_and_nowhere_else(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    version = published()
    manifest = msgspec.structs.replace(version.manifest, plan=Plan(max_rows=2))
    version = republished(manifest, {version.graph_key: version.reader.objects[version.graph_key]})

    def asked(rows: int, *, bounded: bool) -> dict[str, Any]:
        x = {**ROWS["inputs"][0], "shape": [rows, 3], "data": [1, 2, 3] * rows}
        body = {"instances": [[1, 2, 3]] * rows} if "v1" in path else {"inputs": [x]}
        endpoint = Endpoint(lambda: load_model(version.settings, version.reader, None), bounded=bounded)
        return endpoint(event(path=path, body=body), Context())

    assert asked(2, bounded=True)["statusCode"] == 200
    capsys.readouterr()
    refused = asked(3, bounded=True)
    told = json.loads(refused["body"])
    assert (refused["statusCode"], told["type"]) == (400, "urn:hotplate:error:TooManyRowsError")
    assert (told["expected"], told["received"]) == ("at most 2 in one request", "3")
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["rows"], line["status"]) == (3, 400)
    assert asked(3, bounded=False)["statusCode"] == 200


def test_usage_line_of_who_stands_in_says_for_whom_and_is_no_second_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    endpoint = Endpoint(loader())
    for is_again, requests in ((True, 0), (False, 1)):
        told = {"asked": "other", "is_again": is_again}
        endpoint({**event(body=ROWS), "requestContext": {"hotplateFallback": told}}, Context())
        text = capsys.readouterr().out.splitlines()[-1]
        line, usage = json.loads(text), read_usage(text)
        assert (line["model"], line["asked"], line["requests"]) == ("affine", "other", requests)
        assert usage
        assert usage.counts()["requests"] == requests
    endpoint(event(body=ROWS), Context())
    text = capsys.readouterr().out.splitlines()[-1]
    usage = read_usage(text)
    assert ("asked" in text, usage and usage.counts()["requests"]) == (False, 1)


@pytest.mark.parametrize(
    ("spent", "status", "name"), [("quota", 429, "QuotaSpentError"), ("budget", 402, "BudgetSpentError")]
)
def test_tenant_whose_month_is_used_up_is_refused_and_named_in_the_log(
    capsys: pytest.CaptureFixture[str], spent: str, status: int, name: str
) -> None:
    caller = {"tenant": "acme", "key": "0123", "scopes": "*:*", "spent": spent, "spent_text": "used up"}
    asked = {**event(body=ROWS), "requestContext": {"authorizer": caller}}
    result = Endpoint(loader())(asked, Context())
    assert (result["statusCode"], json.loads(result["body"])["error"]) == (status, "used up")
    assert json.loads(result["body"])["type"] == f"urn:hotplate:error:{name}"
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["tenant"], line["key"], line["status"], line["rows"]) == ("acme", "0123", status, 0)


def test_load_fault_is_answered_by_name_and_heals(no_pause: None) -> None:
    endpoint = Endpoint(Flaky(StoreUnavailableError("slow"), StoreUnavailableError("slow")))
    first = endpoint(event(body=ROWS), Context())
    assert (first["statusCode"], first["headers"]["retry-after"]) == (503, "2")
    assert json.loads(first["body"])["type"] == "urn:hotplate:error:StoreUnavailableError"
    assert "req-1" in first["body"]
    second, third = (endpoint(event(body=ROWS), Context()) for _ in range(2))
    assert (second["statusCode"], third["statusCode"]) == (200, 200)
    assert "fetch;dur=" in second["headers"]["server-timing"], "the first answer of the model is the cold one"
    assert "fetch;dur=" not in third["headers"]["server-timing"]


def test_fault_that_stays_is_not_loaded_again_for_every_request() -> None:
    load = Flaky(*[DigestMismatchError("altered")] * 9)
    endpoint = Endpoint(load)
    answers = [endpoint(event(body=ROWS), Context()) for _ in range(5)]
    assert {answer["statusCode"] for answer in answers} == {500}
    assert load.calls == 1


def test_load_that_fails_unexpectedly_still_answers() -> None:
    def load() -> Model:
        raise MemoryError

    result = Endpoint(load)(event(body=ROWS), Context())
    assert result["statusCode"] == 500
    assert json.loads(result["body"])["type"] == "urn:hotplate:error:InternalError"


def test_fault_inside_the_function_is_a_500_that_says_nothing() -> None:
    def broken(_: object) -> Any:
        raise KeyError("secret detail")

    result = Endpoint(loader(Transforms(broken, broken)))(event(body=ROWS), Context())
    assert result["statusCode"] == 500
    assert "secret" not in result["body"]


def test_graph_that_fails_is_an_inference_error() -> None:
    wrong_feeds = Transforms(lambda arrays: {"z": arrays["x"]}, lambda results: results)
    result = Endpoint(loader(wrong_feeds))(event(body=ROWS), Context())
    assert json.loads(result["body"])["type"] == "urn:hotplate:error:InferenceError"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/affine", 200),
        ("/v2/models/affine/ready", 200),
        ("/v2/models/other", 404),
        ("/v2/models/affine/versions/nope", 404),
        ("/v2/nothing", 404),
    ],
)
def test_get(path: str, status: int) -> None:
    assert Endpoint(loader())(event("GET", path), Context())["statusCode"] == status


def test_answer_too_large_for_lambda_is_a_413_and_not_a_lost_answer() -> None:
    many = Transforms(lambda arrays: arrays, lambda results: {"y": np.tile(results["y"] / 3, (300_000, 1))})
    result = Endpoint(loader(many))(event(body=ROWS), Context())
    assert result["statusCode"] == 413
    assert "binary output" in result["body"]


TAKEN = {"statusCode": 202, "headers": {"location": "/jobs/a"}, "body": "{}", "isBase64Encoded": False}


@pytest.mark.parametrize(
    ("method", "path", "prefer", "later"),
    [
        ("POST", "/v2/models/affine/infer", "respond-async", True),
        ("POST", "/v2/models/affine/infer", "wait=5, Respond-Async; a=b", True),
        ("POST", "/v1/models/affine:predict", "respond-async", True),
        ("POST", "/v2/models/affine/infer", "return=minimal", False),
        ("POST", "/v2/models/affine/infer", "no-respond-async", False),
        ("GET", "/v2/models/affine", "respond-async", False),
    ],
)
def test_caller_who_prefers_not_to_wait_gets_what_jobs_say_and_no_usage_line(
    capsys: pytest.CaptureFixture[str], method: str, path: str, prefer: str, later: bool
) -> None:
    taken: list[Any] = []

    def take(given: Any) -> dict[str, Any]:
        taken.append(given)
        return TAKEN

    endpoint = Endpoint(loader(), submit=take)
    capsys.readouterr()
    asked = {**event(method, path, ROWS), "headers": {"Prefer": prefer}}
    result = endpoint(asked, Context())
    assert (result is TAKEN, taken == [asked]) == (later, later)
    assert ('"usage"' in capsys.readouterr().out) is not later


def test_caller_who_would_not_wait_is_answered_where_there_are_no_jobs() -> None:
    asked = {**event(body=ROWS), "headers": {"prefer": "respond-async"}}
    for endpoint in (Endpoint(loader()), Endpoint(loader(), submit=lambda _: None)):
        assert endpoint(asked, Context())["statusCode"] == 200


def test_request_that_jobs_cannot_take_is_a_fault_with_a_usage_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def away(_: object) -> None:
        raise StepUnavailableError("the request was not taken: its function is busy")

    asked = {**event(body=ROWS), "headers": {"prefer": "respond-async"}}
    result = Endpoint(loader(), submit=away)(asked, Context())
    assert (result["statusCode"], result["headers"]["retry-after"]) == (503, "2")
    assert '"usage"' in capsys.readouterr().out


def test_who_has_used_up_the_month_submits_nothing() -> None:
    context = {"authorizer": {"tenant": "a", "scopes": "*:*", "spent": "quota", "spent_text": "used up"}}
    asked = {**event(body=ROWS), "headers": {"prefer": "respond-async"}, "requestContext": context}
    assert Endpoint(loader(), submit=lambda _: TAKEN)(asked, Context())["statusCode"] == 429


def test_model_that_does_not_load_takes_requests_all_the_same() -> None:
    asked = {**event(body=ROWS), "headers": {"prefer": "respond-async"}}
    assert Endpoint(Flaky(StoreUnavailableError("slow")), submit=lambda _: TAKEN)(asked, Context()) is TAKEN


def test_explanation_is_told_in_the_words_of_the_protocol_json_and_binary() -> None:
    endpoint = Endpoint(loader())
    asked: dict[str, Any] = {**ROWS, "id": "i", "parameters": {"target": 1, "baseline": 1}}
    result = endpoint(event(path="/v2/models/affine/explain", body=asked), Context())
    body = json.loads(result["body"])
    assert (result["statusCode"], body["id"], body["model_name"]) == (200, "i", "affine")
    told = {each["name"]: (each["datatype"], each["shape"], each["data"]) for each in body["outputs"]}
    assert told == {
        "attribution.x": ("FP32", [1, 3], [0.0, 2.0, 0.0]),
        "target": ("INT64", [1], [1]),
        "score": ("FP32", [1], [4.0]),
    }
    asked["parameters"]["binary_data_output"] = True
    result = endpoint(event(path="/v2/models/affine/explain", body=asked), Context())
    answer = decode_response(
        base64.b64decode(result["body"]), result["headers"]["inference-header-content-length"]
    )
    assert {each.name: each.array.tolist() for each in answer.outputs}["attribution.x"] == [[0.0, 2.0, 0.0]]


def test_explanation_is_told_in_kserves_words(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"instances": [[1, 2, 3], [4, 5, 6]], "parameters": {"target": 0}}
    result = Endpoint(loader())(event(path="/v1/models/affine:explain", body=asked), Context())
    assert json.loads(result["body"]) == {
        "explanations": [
            {"output": "y", "target": 0, "score": 2.0, "attributions": {"x": [2.0, 0.0, 0.0]}},
            {"output": "y", "target": 0, "score": 8.0, "attributions": {"x": [8.0, 0.0, 0.0]}},
        ]
    }
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"] == 2


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/v2/models/affine/explain", {**ROWS, "parameters": {"method": "magic"}}, "parameters"),
        ("/v1/models/affine:explain", {"instances": [[1, 2, 3]], "parameters": []}, "parameters"),
        ("/v1/models/affine:explain", {"instances": [[1, 2, 3]], "parameters": {"target": 9}}, "target"),
        ("/v1/models/affine:explain", {"instances": []}, "instances"),
    ],
)
def test_explanation_that_cannot_be_is_refused(path: str, body: dict[str, Any], word: str) -> None:
    result = Endpoint(loader())(event(path=path, body=body), Context())
    assert (result["statusCode"], word in json.loads(result["body"])["error"]) == (400, True)


def asked_large(**parameters: Any) -> dict[str, Any]:
    tensor = {"name": "x", "datatype": "FP32", "shape": [300_000, 3]}
    raw = np.full(900_000, 0.123456, np.float32).tobytes()
    head = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}], "id": "i"}
    part = json.dumps({**head, "parameters": parameters}).encode()
    return {
        **event(),
        "headers": {"inference-header-content-length": str(len(part))},
        "body": base64.b64encode(part + raw).decode(),
        "isBase64Encoded": True,
        "requestContext": {"authorizer": {"tenant": "acme", "scopes": "*:*"}},
    }


class Kept:
    """A bucket that keeps one answer."""

    def __init__(self) -> None:
        self.kept: list[tuple[bytes, str, str | None]] = []

    def __call__(self, body: bytes, kind: str, tenant: str | None) -> str:
        self.kept.append((body, kind, tenant))
        return "https://s3/outputs/acme/1?signed"


def test_answer_that_does_not_fit_a_call_is_kept_where_that_is_asked_for() -> None:
    kept = Kept()
    result = Endpoint(loader(), keep=kept)(asked_large(output_by_reference=True), Context())
    told = json.loads(result["body"])
    ((body, kind, tenant),) = kept.kept
    assert (result["statusCode"], result["headers"]["cache-control"]) == (200, "no-store")
    assert (told["model_name"], told["id"], told["outputs"], tenant) == ("affine", "i", [], "acme")
    assert told["parameters"] == {
        "output_uri": "https://s3/outputs/acme/1?signed",
        "output_bytes": len(body),
        "output_headers": {"content-type": kind},
        "output_expires_s": 3600,
    }
    answer = decode_response(body, None)
    assert answer.outputs[0].array.shape == (300_000, 3)
    assert answer.outputs[0].array[0, 0] == np.float32(2 * np.float32(0.123456))


@pytest.mark.parametrize(
    ("parameters", "keep", "status"),
    [
        ({}, Kept(), 413),
        ({"output_by_reference": False}, Kept(), 413),
        ({"output_by_reference": True}, None, 413),
        ({"output_by_reference": "yes"}, Kept(), 400),
        ({"output_by_reference": True, "binary_data_output": True}, Kept(), 200),
    ],
    ids=["not asked", "not wanted", "nowhere to keep it", "neither", "it fits in binary"],
)
def test_answer_that_fits_or_is_not_wanted_so_is_not_kept(
    parameters: dict[str, Any], keep: Kept | None, status: int
) -> None:
    result = Endpoint(loader(), keep=keep)(asked_large(**parameters), Context())
    assert result["statusCode"] == status
    assert keep is None or keep.kept == []
    if status == 413:
        assert "output_by_reference" in json.loads(result["body"])["error"]


class Bucket:
    """Keeps what is put; or fails."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.fault = fault

    def __call__(self, key: str, body: bytes, kind: str) -> None:
        if self.fault:
            raise self.fault
        self.objects[key] = body


def of_acme(body: Any, **headers: str) -> dict[str, Any]:
    context = {"authorizer": {"tenant": "acme", "scopes": "*:*"}}
    return {**event(body=body), "headers": {"x-api-key": "the-key", **headers}, "requestContext": context}


def test_request_is_kept_with_its_answer_and_without_secrets_where_the_operator_wants_that() -> None:
    bucket = Bucket()
    asked = of_acme({**ROWS, "parameters": {"api_key": "hush"}}, **{"Hotplate-Subject": "jane"})
    result = Endpoint(loader(), capture=(1.0, bucket))(asked, Context())
    ((key, kept),) = bucket.objects.items()
    assert key.startswith(subject_prefix("acme", "jane") + "affine/")
    record = json.loads(kept)
    assert record["request"]["json"] == {**ROWS, "parameters": {"api_key": "[redacted]"}}
    assert record["answer"]["json"] == json.loads(result["body"])
    assert (record["model"], record["request_id"]) == ("affine", "req-1")
    assert b"the-key" not in kept
    assert b"hush" not in kept


def test_binary_request_is_kept_as_it_came() -> None:
    bucket = Bucket()
    asked = asked_large(binary_data_output=True)
    Endpoint(loader(), capture=(1.0, bucket))(asked, Context())
    (kept,) = bucket.objects.values()
    assert json.loads(kept)["request"]["base64"] == asked["body"]


@pytest.mark.parametrize(
    ("share", "asked"),
    [
        (1e-9, of_acme(ROWS)),
        (1.0, of_acme({"inputs": []})),
        (1.0, event("GET", "/v2/models/affine")),
        (1.0, event(body=ROWS)),
    ],
    ids=["not of the share", "refused", "no request for an answer", "asked by another function"],
)
def test_other_requests_are_not_kept(share: float, asked: dict[str, Any]) -> None:
    bucket = Bucket()
    Endpoint(loader(), capture=(share, bucket))(asked, Context())
    assert bucket.objects == {}


@pytest.mark.parametrize("fault", [StoreUnavailableError("s3"), OSError("net")])
def test_answer_is_the_callers_though_it_could_not_be_kept(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    result = Endpoint(loader(), capture=(1.0, Bucket(fault)))(of_acme(ROWS), Context())
    assert result["statusCode"] == 200
    assert "a request is not kept" in caplog.messages


def test_answer_is_the_callers_however_deep_his_request_is() -> None:
    raw = json.dumps({**ROWS, "parameters": {"deep": "HERE"}}).replace('"HERE"', "[" * 950 + "]" * 950)
    asked = {**of_acme(ROWS), "body": raw}
    assert Endpoint(loader(), capture=(1.0, Bucket()))(asked, Context())["statusCode"] == 200


class Lingering:
    """A program that takes as many seconds as its first number."""

    def predict(self, inputs: Any) -> Any:
        until = time.monotonic() + float(inputs["x"][0, 0])
        while time.monotonic() < until:
            time.sleep(0.001)
        return {"y": inputs["x"]}


def test_model_that_takes_longer_than_it_may_is_504_with_a_usage_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest = published_program({}).manifest
    endpoint = Endpoint(
        lambda: program_model(manifest, "1", lambda _: Lingering(), Path(), Ledger()), answer_within_s=0.2
    )
    path = f"/v2/models/{manifest.name}/infer"
    spec = manifest.inputs[0]

    def ask(seconds: float) -> dict[str, Any]:
        width = spec.shape[1]
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, width], "data": [seconds] * width}
        body = json.dumps({"inputs": [tensor]})
        return endpoint({"httpMethod": "POST", "path": path, "headers": {}, "body": body}, Context())

    late = ask(60)
    told = json.loads(late["body"])
    assert (late["statusCode"], told["title"]) == (504, "step timeout")
    assert told["error"] == "the model took more than 0.2 s and was stopped: send fewer rows"
    assert ask(0)["statusCode"] == 200
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"usage"' in line]
    assert [(line["status"], line["rows"]) for line in lines] == [(504, 1), (200, 1)]


class Hurried(Context):
    """One whose function is ended soon."""

    def get_remaining_time_in_millis(self) -> int:
        return 1_300


def test_model_is_stopped_before_the_function_is(capsys: pytest.CaptureFixture[str]) -> None:
    manifest = published_program({}).manifest
    endpoint = Endpoint(
        lambda: program_model(manifest, "1", lambda _: Lingering(), Path(), Ledger()), answer_within_s=28
    )
    width = manifest.inputs[0].shape[1]
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, width], "data": [60.0] * width}
    event = {"httpMethod": "POST", "path": f"/v2/models/{manifest.name}/infer", "headers": {}}
    started = time.monotonic()
    answer = endpoint({**event, "body": json.dumps({"inputs": [tensor]})}, Hurried())
    assert answer["statusCode"] == 504
    assert time.monotonic() - started < 1
    assert '"status":504' in capsys.readouterr().out


def test_loading_is_not_the_models_time() -> None:
    manifest = published_program({}).manifest

    def load() -> Model:
        time.sleep(0.3)
        return program_model(manifest, "1", lambda _: Lingering(), Path(), Ledger())

    endpoint = Endpoint(load, late=True, answer_within_s=0.2)
    width = manifest.inputs[0].shape[1]
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, width], "data": [0.0] * width}
    event = {"httpMethod": "POST", "path": f"/v2/models/{manifest.name}/infer", "headers": {}}
    assert endpoint({**event, "body": json.dumps({"inputs": [tensor]})}, Context())["statusCode"] == 200


@pytest.mark.parametrize("environment", ["globex", None])
def test_request_in_another_tenants_environment_is_refused_and_the_model_not_asked(
    environment: str | None,
) -> None:
    def load() -> Any:
        raise AssertionError("asked")

    endpoint = Endpoint(load, late=True, is_isolated=True, work_on_files=lambda *_: {})
    asked = {"requestContext": {"authorizer": {"tenant": "acme"}}}
    request = {"httpMethod": "GET", "path": "/v2/models/m/ready", "headers": {}, **asked}
    context = Context(tenant_id=environment)
    answer = endpoint(request, context)
    assert (answer["statusCode"], json.loads(answer["body"])["title"]) == (500, "tenant mismatch")
    told = endpoint({"batch": {"ask": "describe"}, **asked}, context)["batch"]["fault"]
    assert (told["status"], told["reason"].partition(":")[0]) == (500, "TenantMismatchError")
