"""AWS Signature Version 4: what reading a model needs, calling another function, and keeping an answer.

Written by hand because importing botocore's signer costs a cold start more than everything else
it does; botocore is the oracle in the tests instead.

Source: AWS General Reference, "Signature Version 4 signing process"; Amazon S3 API Reference,
"Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple, Self

from hotplate.errors import SettingsError

__all__ = ["Credentials", "domain_of", "percent_encoded", "presigned_query", "signed_headers"]

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_OF_PATHS = _UNRESERVED | {"/"}
# SHA-256 of no bytes: the body of a GET.
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Credentials(NamedTuple):
    """Keys as Lambda puts them into the environment. Never printed: `repr` hides the secrets."""

    access_key: str
    secret_key: str
    session_token: str | None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key})"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the function's credentials.

        Raises:
            SettingsError: The environment holds none.
        """
        try:
            access_key, secret_key = environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"]
        except KeyError as missing:
            raise SettingsError(f"no credentials in the environment: {missing} is not set") from missing
        return cls(access_key, secret_key, environ.get("AWS_SESSION_TOKEN") or None)


def domain_of(region: str) -> str:
    """Return the domain of AWS's hosts in a region, of its public regions and those in China."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def percent_encoded(text: str, *, plain: frozenset[str] = _OF_PATHS) -> str:
    """Return `text` as signatures want it: every byte of UTF-8 that is no character of `plain` as `%XX`.

    Args:
        text: A key, or what stands in a query.
        plain: What stays; by default what may stand in a path, slashes included.
    """
    # urllib.parse does the same, and takes milliseconds to be imported, with all of ipaddress.
    if plain.issuperset(text):
        return text
    return "".join(
        chr(byte) if chr(byte) in plain else f"%{byte:02X}" for byte in text.encode("utf-8", "strict")
    )


def signed_headers(
    credentials: Credentials,
    *,
    host: str,
    path: str,
    region: str,
    extra: Mapping[str, str],
    now_s: float | None = None,
    service: str = "s3",
    method: str = "GET",
    query: str = "",
    body: bytes = b"",
) -> dict[str, str]:
    """Return the headers that authorise a request; by default `GET path` at S3.

    Args:
        credentials: Whose.
        host: As in the Host header, with the port if it is not the scheme's own.
        path: Already percent-encoded, as sent; for another service than S3 without a character that needs it.
        region: Of the bucket or the function.
        extra: Further headers to send and sign, lower case, such as `range`.
        now_s: Seconds since the epoch; default now.
        service: As it is called in signatures.
        method: Of the request.
        query: Already percent-encoded and sorted, as sent.
        body: Of the request.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    payload = hashlib.sha256(body).hexdigest() if body else _EMPTY_SHA256
    headers = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": stamp, **extra}
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = sorted(headers)
    canonical = "\n".join(
        [
            method,
            path,
            query,
            *(f"{name}:{headers[name].strip()}" for name in names),
            "",
            ";".join(names),
            payload,
        ]
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    signature = _signature(credentials, stamp, scope, canonical)
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return headers


def presigned_query(
    credentials: Credentials, *, host: str, path: str, region: str, life_s: int, now_s: float | None = None
) -> str:
    """Return the query by which whoever has it may `GET path` at S3 for `life_s` seconds.

    Args:
        credentials: Whose right it is; it ends with them, if that is earlier.
        host: As in the Host header.
        path: Already percent-encoded, as sent.
        region: Of the bucket.
        life_s: Seconds, at most 604,800.
        now_s: Seconds since the epoch; default now.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    members = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(life_s),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token:
        members["X-Amz-Security-Token"] = credentials.session_token
    query = "&".join(
        f"{name}={percent_encoded(value, plain=_UNRESERVED)}" for name, value in sorted(members.items())
    )
    canonical = "\n".join(["GET", path, query, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"])
    return f"{query}&X-Amz-Signature={_signature(credentials, stamp, scope, canonical)}"


def _signature(credentials: Credentials, stamp: str, scope: str, canonical: str) -> str:
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()
