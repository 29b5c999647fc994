"""AWS_IAM in the local cloud: who signs is let in, and a signature is computed again before that is believed.

ministack 1.5 takes any `Authorization` header for a signature unless it checks all of AWS's services, which
would need policies for every function. Here a method with `AWS_IAM` is answered to a request that was signed
with Signature Version 4, for `execute-api` in this region, within the last five minutes, by an access key
of the cloud: `test`, or one that its IAM has made. The key's secret is looked up, and the signature computed
over what came.

Not done: policies (the local cloud enforces none), signatures in the query, Signature Version 4A.

Runs in the environment `cloud`, as `emulator.py` does.

Source: AWS Signature Version 4; API Gateway Developer Guide, "Control access with IAM permissions" and
"Gateway response types".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qs

from ministack.core import iam_evaluator, sigv4  # type: ignore[import-not-found] # lives in its own environment
from ministack.core.responses import get_account_id, get_region  # type: ignore[import-not-found]
from ministack.services import apigateway_v1  # type: ignore[import-not-found]

__all__ = ["with_checked_signatures", "with_raw_requests"]

type App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

# The path and the query of the request in work, as they were sent: they are what was signed.
SENT: ContextVar[tuple[str, str]] = ContextVar("sent", default=("", ""))

_ALGORITHM = "AWS4-HMAC-SHA256 "
_SERVICE = "execute-api"


def with_raw_requests(app: App) -> App:
    """Return `app` behind a front that keeps what was signed for who checks it."""

    async def front(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            SENT.set((scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")))
        await app(scope, receive, send)

    return front


def with_checked_signatures(own: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return `own`, which authorises a request by its method, computing signatures for `AWS_IAM`."""

    async def authorise(
        api: str,
        stage: str,
        declared: Mapping[str, Any],
        method: str,
        path: str,
        resource: Any,
        headers: Mapping[str, Any],
        body: Any,
        *rest: Any,
    ) -> Any:
        refused, context = await own(api, stage, declared, method, path, resource, headers, body, *rest)
        if refused is None and str(declared.get("authorizationType")).upper() == "AWS_IAM":
            refused = _refused(method, headers, body)
        return refused, context

    return authorise


def _refused(method: str, headers: Mapping[str, Any], body: Any) -> Any:
    """Return API Gateway's refusal; None of a request that who it names has signed."""
    given = {name.lower(): value if isinstance(value, str) else value[-1] for name, value in headers.items()}
    if not given.get("authorization", "").startswith(_ALGORITHM):
        return apigateway_v1._gw_error("MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token")
    signature = sigv4.parse_header_signature(given)
    if isinstance(signature, tuple):
        return _invalid(signature)
    if (signature.service, signature.region) != (_SERVICE, get_region()):
        return _invalid(("", f"Credential should be scoped to {_SERVICE} in {get_region()}."))
    raw = body if isinstance(body, bytes) else (body or "").encode()
    if wrong := _unfit(given, raw):
        return _invalid(("", wrong))
    if skewed := sigv4.request_time_failure(signature):
        return _invalid(skewed)
    token = given.get("x-amz-security-token", "")
    credential = iam_evaluator.resolve_credential(signature.access_key_id, get_account_id(), token)
    if isinstance(credential, iam_evaluator.CredentialResolutionError):
        return _invalid((credential.code, "The security token included in the request is invalid."))
    raw_path, raw_query = SENT.get()
    query = parse_qs(raw_query, keep_blank_values=True)
    failure = sigv4.header_signature_failure(
        signature, credential.secret_access_key, method, raw_path, query, given, raw
    )
    return _invalid(failure) if failure else None


def _unfit(given: Mapping[str, str], raw: bytes) -> str:
    """Return what is wrong with what was signed, whoever signed it; "" of nothing."""
    scope = re.search(r"Credential=[^,\s]+", given["authorization"])
    names = re.search(r"SignedHeaders=([^,\s]+)", given["authorization"])
    if not scope or not scope[0].endswith("/aws4_request"):
        return "Credential should be scoped with a valid terminator: 'aws4_request'."
    if not names or "host" not in names[1].split(";"):
        return "'Host' must be a 'SignedHeader' in the AWS Authorization."
    if not re.fullmatch(r"\d{8}T\d{6}Z", given.get("x-amz-date", "")):
        return "Date must be in ISO-8601 'basic format'."
    said = given.get("x-amz-content-sha256")
    if said is not None and said != hashlib.sha256(raw).hexdigest():
        return "The provided 'x-amz-content-sha256' header does not match what was computed."
    return ""


def _invalid(failure: tuple[str, str]) -> Any:
    return apigateway_v1._gw_error("INVALID_SIGNATURE", failure[1])
