"""References over the whole way of a request: a real function, and an S3 that misbehaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hotplate.limits import MAX_UPLOAD_BYTES
from hotplate.tenants.uploads import new_key, uri_of
from tests.support.faulty_s3 import BUCKET, Fault, FaultyS3, faulty_s3
from tests.support.published import published
from tests.support.runtime import Started, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROW = np.array([[1, 2, 3]], "<f4")


@pytest.fixture(scope="module")
def s3() -> Iterator[FaultyS3]:
    with faulty_s3() as server:
        yield server


@pytest.fixture(scope="module")
def function(s3: FaultyS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    folder: Path = tmp_path_factory.mktemp("function")
    with started(s3, published(), folder, {"HOTPLATE_DATA_BUCKET": BUCKET}) as running:
        yield running


def put(s3: FaultyS3, body: bytes, tenant: str = "acme") -> str:
    key = new_key(tenant)
    s3.objects[key] = body
    return uri_of(BUCKET, key)


def ask(
    function: Started, uri: str, tenant: str | None = "acme", shape: tuple[int, ...] = (1, 3)
) -> tuple[int, Any, dict[str, str]]:
    tensor = {"name": "x", "datatype": "FP32", "shape": shape, "parameters": {"input_uri": uri}}
    event = {
        "httpMethod": "POST",
        "path": "/v2/models/affine/infer",
        "headers": {},
        "body": json.dumps({"inputs": [tensor]}),
        "requestContext": {"authorizer": {"tenant": tenant}} if tenant else {},
    }
    result = function.ask(event)
    return result["statusCode"], json.loads(result["body"]), result["headers"]


def reads(s3: FaultyS3) -> list[str]:
    return [key for key, _ in s3.requests if key.startswith("uploads/")]


@pytest.mark.parametrize("tenant", ["acme", "iam:123456789012", None])
def test_own_upload_is_answered_as_data_is(function: Started, s3: FaultyS3, tenant: str | None) -> None:
    status, body, _ = ask(function, put(s3, ROW.tobytes(), tenant or "-"), tenant)
    assert (status, body["outputs"][0]["data"]) == (200, [2.0, 4.0, 6.0])


@pytest.mark.parametrize(
    "change",
    [
        lambda uri: uri.replace("acme", "globex"),
        lambda uri: uri.replace("uploads/acme", "uploads/acme/../globex"),
        lambda uri: uri.replace("uploads/acme/", "uploads/acme%2F"),
        lambda uri: uri.replace(f"s3://{BUCKET}", "s3://other"),
        lambda uri: f"{uri}/../../../models/affine",
        lambda uri: uri.replace("s3://", "http://"),
    ],
    ids=["tenant", "dots", "%2F", "bucket", "up", "scheme"],
)
def test_what_is_not_the_callers_own_is_refused_and_s3_is_not_asked(
    function: Started, s3: FaultyS3, change: Any
) -> None:
    uri = put(s3, ROW.tobytes())
    s3.objects[uri.replace("acme", "globex").removeprefix(f"s3://{BUCKET}/")] = ROW.tobytes()
    before = reads(s3)
    status, body, _ = ask(function, change(uri))
    assert (status, body["type"]) == (403, "urn:hotplate:error:ForeignInputError")
    assert "POST /uploads" in body["expected"]
    assert reads(s3) == before


def test_another_tenant_is_refused_what_is_there(function: Started, s3: FaultyS3) -> None:
    uri = put(s3, ROW.tobytes(), "acme")
    for other in ("globex", "acme2", "acm", None):
        assert ask(function, uri, other)[0] == 403


@pytest.mark.parametrize("length", [0, 11, 13, 4 * 4])
def test_object_of_another_length_is_refused_unread(function: Started, s3: FaultyS3, length: int) -> None:
    status, body, _ = ask(function, put(s3, bytes(length)))
    assert (status, body["type"]) == (400, "urn:hotplate:error:ShapeMismatchError")
    assert "12 bytes" in body["expected"]
    assert body["received"] == f"an object of {length} bytes"


@pytest.mark.parametrize("status", [404, 403])
def test_what_is_not_there_is_404_also_where_s3_may_not_say_so(
    function: Started, s3: FaultyS3, status: int
) -> None:
    uri = put(s3, ROW.tobytes())
    s3.faults[uri.removeprefix(f"s3://{BUCKET}/")].append(Fault(status=status))
    answered, body, _ = ask(function, uri)
    assert (answered, body["type"]) == (404, "urn:hotplate:error:InputNotFoundError")
    assert "expired" in body["received"]
    assert ask(function, uri)[0] == 200


def test_s3_that_is_away_is_503_with_retry_after_and_one_that_stumbles_is_not_seen(
    function: Started, s3: FaultyS3
) -> None:
    uri = put(s3, ROW.tobytes())
    faults = s3.faults[uri.removeprefix(f"s3://{BUCKET}/")]
    faults.append(Fault(status=503))
    assert ask(function, uri)[0] == 200
    faults.extend([Fault(status=503)] * 4)
    status, body, headers = ask(function, uri)
    assert (status, body["type"]) == (503, "urn:hotplate:error:StoreUnavailableError")
    assert headers["retry-after"] == "2"
    assert BUCKET not in body["error"]


def test_claim_over_the_limit_is_refused_and_s3_is_not_asked(function: Started, s3: FaultyS3) -> None:
    before = reads(s3)
    rows = MAX_UPLOAD_BYTES // 12 + 1
    status, body, _ = ask(function, put(s3, b""), shape=(rows, 3))
    assert (status, body["type"]) == (413, "urn:hotplate:error:PayloadTooLargeError")
    assert "upload" not in body
    assert reads(s3) == before


def test_stack_without_a_data_bucket_takes_no_references(tmp_path: Path, s3: FaultyS3) -> None:
    with started(s3, published(), tmp_path) as running:
        assert ask(running, put(s3, ROW.tobytes()))[0] == 500


def ask_otherwise(
    function: Started, path: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    result = function.ask(
        {
            "httpMethod": "POST",
            "path": path,
            "headers": headers or {},
            "body": json.dumps(body),
            "requestContext": {"authorizer": {"tenant": "acme"}},
        }
    )
    return result["statusCode"], json.loads(result["body"])


def tensor_at(uri: str) -> dict[str, Any]:
    return {"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"input_uri": uri}}


@pytest.mark.parametrize("path", ["/invocations", "/endpoints/affine/invocations"])
def test_sagemakers_paths_read_references_as_infer_does(function: Started, s3: FaultyS3, path: str) -> None:
    uri = put(s3, ROW.tobytes())
    status, body = ask_otherwise(function, path, {"inputs": [tensor_at(uri)]})
    assert (status, body["outputs"][0]["data"]) == (200, [2.0, 4.0, 6.0])
    status, body = ask_otherwise(function, path, {"instances": [{"x": {"input_uri": uri}}]})
    assert (status, body) == (200, {"predictions": [[2.0, 4.0, 6.0]]})


def test_kserves_instance_may_be_an_upload(function: Started, s3: FaultyS3) -> None:
    uri = put(s3, ROW.tobytes())
    asked = {"instances": [{"x": {"input_uri": uri}}]}
    assert ask_otherwise(function, "/v1/models/affine:predict", asked) == (
        200,
        {"predictions": [[2.0, 4.0, 6.0]]},
    )
    status, body = ask_otherwise(
        function, "/v1/models/affine:explain", asked | {"parameters": {"baseline": 0}}
    )
    assert (status, [*body]) == (200, ["explanations"])


@pytest.mark.parametrize("path", ["/v1/models/affine:predict", "/invocations"])
def test_another_tenants_upload_is_refused_there_too(function: Started, s3: FaultyS3, path: str) -> None:
    uri = put(s3, ROW.tobytes(), "globex")
    before = reads(s3)
    status, body = ask_otherwise(function, path, {"instances": [{"x": {"input_uri": uri}}]})
    assert (status, body["type"]) == (403, "urn:hotplate:error:ForeignInputError")
    assert reads(s3) == before


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([{"x": {"input_uri": "s3://b/a"}}] * 2, "one instance where a row is an input_uri"),
        ([{"x": {"input_uri": "s3://b/a"}}, {"x": [1, 2, 3]}], "one instance where a row is an input_uri"),
        ([{"input_uri": "s3://b/a"}], "the name of an input around input_uri"),
        ([{"x": {"input_uri": 7}}], "text"),
    ],
    ids=["two", "one of two", "of no name", "no text"],
)
def test_instance_that_refers_wrongly_is_told_how_to(
    function: Started, instances: list[Any], expected: str
) -> None:
    status, body = ask_otherwise(function, "/v1/models/affine:predict", {"instances": instances})
    assert status == 400, body
    assert expected in body["expected"]
