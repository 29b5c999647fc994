"""Our signature against botocore's: the same headers must give the same authorization."""

from __future__ import annotations

import calendar
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import botocore.auth
import botocore.session
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from hotplate.aws.sigv4 import Credentials, domain_of, percent_encoded, presigned_query, signed_headers
from hotplate.errors import SettingsError

STAMP = "20261122T101112Z"
NOW_S = float(calendar.timegm((2026, 11, 22, 10, 11, 12)))


def botocore_authorization(credentials: Credentials, region: str, path: str, headers: dict[str, str]) -> str:
    request = AWSRequest("GET", f"https://{headers['host']}{path}", headers=headers)
    request.context["timestamp"] = STAMP
    signer = botocore.auth.S3SigV4Auth(BotoCredentials(*credentials), "s3", region)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    names = ";".join(sorted(headers))
    scope = f"{STAMP[:8]}/{region}/s3/aws4_request"
    return (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )


@given(
    access=st.text("ABCDEFGHIJ0123456789", min_size=16, max_size=20),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
    token=st.none() | st.text("abcXYZ019/+=", min_size=1, max_size=60),
    name=st.text("abcdef0123456789-._~", min_size=1, max_size=30),
    first=st.integers(0, 2**40),
)
def test_signature_equals_botocores(
    access: str, secret: str, token: str | None, name: str, first: int
) -> None:
    credentials = Credentials(access, secret, token)
    path = f"/models/blobs/sha256/{name}"
    headers = signed_headers(
        credentials,
        host="b.s3.eu-west-1.amazonaws.com",
        path=path,
        region="eu-west-1",
        extra={"range": f"bytes={first}-{first + 9}"},
        now_s=NOW_S,
    )
    ours = headers.pop("authorization")
    assert ours == botocore_authorization(credentials, "eu-west-1", path, headers)


def test_token_is_sent_and_signed() -> None:
    headers = signed_headers(
        Credentials("AK", "SK", "token"), host="h", path="/b/k", region="us-east-1", extra={}
    )
    assert headers["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in headers["authorization"]


def test_credentials_do_not_print_their_secrets() -> None:
    assert "hidden" not in f"{Credentials('AK', 'hidden', 'hidden too')!r}"


def test_credentials_come_from_the_environment() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK", "AWS_SESSION_TOKEN": ""}
    assert Credentials.from_environ(environ) == Credentials("AK", "SK", None)


def test_missing_credentials_are_named() -> None:
    with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY"):
        Credentials.from_environ({"AWS_ACCESS_KEY_ID": "AK"})


@given(body=st.binary(max_size=64), alias=st.sampled_from(["", "Qualifier=live"]))
def test_signature_of_a_call_to_a_function_equals_botocores(body: bytes, alias: str) -> None:
    credentials = Credentials("AK", "SK", "token")
    path = "/2015-03-31/functions/reader-1/invocations"
    headers = signed_headers(
        credentials,
        host="lambda.eu-west-1.amazonaws.com",
        path=path,
        query=alias,
        region="eu-west-1",
        extra={"content-type": "application/json"},
        now_s=NOW_S,
        service="lambda",
        method="POST",
        body=body,
    )
    ours = headers.pop("authorization")
    url = f"https://{headers['host']}{path}" + (f"?{alias}" if alias else "")
    request = AWSRequest("POST", url, headers=headers, data=body)
    request.context["timestamp"] = STAMP
    signer = botocore.auth.SigV4Auth(BotoCredentials(*credentials), "lambda", "eu-west-1")
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    assert ours.endswith(f"Signature={signer.signature(to_sign, request)}")


@pytest.mark.parametrize(
    "region", ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "cn-northwest-1"]
)
@pytest.mark.parametrize("service", ["lambda", "s3"])
def test_domain_is_botocores(service: str, region: str) -> None:
    client = botocore.session.Session().create_client(
        service, region_name=region, aws_access_key_id="AK", aws_secret_access_key="SK"
    )
    # In us-east-1 botocore's S3 goes to the older host that names no region.
    host = client.meta.endpoint_url.removeprefix("https://").replace("s3.amazonaws", "s3.us-east-1.amazonaws")
    assert host == f"{service}.{region}.{domain_of(region)}"


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
    token=st.none() | st.text("abcXYZ019/+=", min_size=1, max_size=60),
    name=st.text("abcdef0123456789-._~", min_size=1, max_size=30),
    life_s=st.integers(1, 604_800),
)
def test_presigned_query_is_botocores(secret: str, token: str | None, name: str, life_s: int) -> None:
    credentials = Credentials("AKIDEXAMPLE", secret, token)
    host, path = "b.s3.eu-west-1.amazonaws.com", f"/outputs/acme/{name}"
    ours = presigned_query(credentials, host=host, path=path, region="eu-west-1", life_s=life_s, now_s=NOW_S)
    request: Any = AWSRequest("GET", f"https://{host}{path}")
    request.context["timestamp"] = STAMP
    keys = BotoCredentials(*credentials)
    signer: Any = botocore.auth.S3SigV4QueryAuth(keys, "s3", "eu-west-1", expires=life_s)
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    theirs = parse_qs(urlsplit(request.url).query) | {"X-Amz-Signature": [signature]}
    assert parse_qs(ours) == theirs


@given(st.text())
def test_percent_encoding_is_that_of_the_standard_library(key: str) -> None:
    assert percent_encoded(key) == quote(key)
