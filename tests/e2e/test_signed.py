"""The local cloud with `Auth=AWS_IAM`: who signs as AWS's own library does is let in, and nobody else is."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from hotplate_tools.console import Console
from hotplate_tools.local.up import LocalCloud, local_cloud
from tests.support.http_call import Answer, call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PIXELS = {"name": "image", "datatype": "FP32", "shape": [1, 28, 28, 1], "data": [0.0] * 784}
REQUEST = json.dumps({"inputs": [PIXELS], "outputs": [{"name": "digit"}]}).encode()
INFER = "/v2/models/digits/infer"
OWN = Credentials("test", "test")


@pytest.fixture(scope="module")
def signed() -> Iterator[LocalCloud]:
    parameters = {"Auth": "AWS_IAM", "RateLimits": "", "Open": ""}
    with local_cloud(Console(as_json=True), parameters=parameters) as local:
        yield local


def headers_of(
    cloud: LocalCloud,
    credentials: Credentials = OWN,
    *,
    method: str = "POST",
    path: str = INFER,
    body: bytes | None = REQUEST,
    service: str = "execute-api",
    region: str | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    given = {"content-type": "application/json", **more}
    request = AWSRequest(method, cloud.url + path, data=body, headers=given)
    signer = SigV4Auth(credentials, service, region or cloud.region)
    signer.add_auth(request)
    if "X-Amz-Date" in more:  # what was signed then says another time
        del request.headers["Authorization"]
        del request.headers["X-Amz-Date"]
        request.headers["X-Amz-Date"] = request.context["timestamp"] = more["X-Amz-Date"]
        told = signer.string_to_sign(request, signer.canonical_request(request))
        signer._inject_signature_to_request(request, signer.signature(told, request))  # type: ignore[attr-defined]
    return dict(request.headers.items())


def infer(cloud: LocalCloud, headers: dict[str, str], body: bytes = REQUEST) -> Answer:
    return call(cloud.url, "POST", INFER, body, headers)


def test_who_signs_is_answered_and_pays_as_the_account(signed: LocalCloud) -> None:
    answer = infer(signed, headers_of(signed))
    assert answer.status == 200, answer.body
    deadline, lines = time.monotonic() + 20, list[dict[str, Any]]()
    while not lines and time.monotonic() < deadline:
        lines = [json.loads(each) for each in signed.logs("DigitsFunction") if '"hotplate":"usage"' in each]
    assert [(line["tenant"], line["key"], line["status"]) for line in lines] == [
        ("iam:000000000000", None, 200)
    ]


def test_every_kind_of_route_takes_a_signature(signed: LocalCloud) -> None:
    for path in ("/v2", "/v2/models/digits?a=b%20c&a=a", "/v1/models", "/openapi.json"):
        headers = headers_of(signed, method="GET", path=path, body=None)
        assert call(signed.url, "GET", path, None, headers).status == 200, path
        assert call(signed.url, "GET", path).status == 403, path


def test_user_of_the_account_signs_with_a_key_of_his_own(signed: LocalCloud) -> None:
    iam = signed.client("iam")
    iam.create_user(UserName="caller")
    key = iam.create_access_key(UserName="caller")["AccessKey"]
    own = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    assert infer(signed, headers_of(signed, own)).status == 200
    assert infer(signed, headers_of(signed, Credentials(key["AccessKeyId"], "another"))).status == 403


def forged(cloud: LocalCloud, kind: str) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a request that is not what it says."""
    if kind == "nothing":
        return {}, REQUEST
    if kind == "a key instead":
        return {"x-api-key": "test", "authorization": "Bearer test"}, REQUEST
    if kind == "words":
        return {"authorization": "AWS4-HMAC-SHA256 Credential=test"}, REQUEST
    if kind == "another secret":
        return headers_of(cloud, Credentials("test", "guessed")), REQUEST
    if kind == "nobody's key":
        return headers_of(cloud, Credentials("AKIAIOSFODNN7EXAMPLE", "test")), REQUEST
    if kind == "another body":
        return headers_of(cloud), REQUEST.replace(b"0.0", b"0.1", 1)
    if kind == "another path":
        return headers_of(cloud, path="/v2/models/spam/infer"), REQUEST
    if kind == "another service":
        return headers_of(cloud, service="s3"), REQUEST
    if kind == "another region":
        return headers_of(cloud, region="eu-west-1"), REQUEST
    if kind == "another body, whose digest was signed":
        digest = hashlib.sha256(REQUEST).hexdigest()
        return headers_of(cloud, more={"x-amz-content-sha256": digest}), REQUEST.replace(b"0.0", b"0.1", 1)
    if kind == "no time":
        return headers_of(cloud, more={"X-Amz-Date": "20200101"}), REQUEST
    headers = headers_of(cloud)
    then = (datetime.now(UTC) - timedelta(minutes=6)).strftime("%Y%m%dT%H%M%SZ")
    return headers | {"X-Amz-Date": then}, REQUEST


@pytest.mark.parametrize(
    "kind",
    [
        "nothing",
        "a key instead",
        "words",
        "another secret",
        "nobody's key",
        "another body",
        "another path",
        "another service",
        "another region",
        "another time",
        "another body, whose digest was signed",
        "no time",
    ],
)
def test_what_is_not_signed_by_who_it_names_is_403(signed: LocalCloud, kind: str) -> None:
    headers, body = forged(signed, kind)
    answer = infer(signed, headers, body)
    assert answer.status == 403, answer.body
    assert json.loads(answer.body)["error"]
    assert b"digit" not in answer.body
