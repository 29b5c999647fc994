"""API Gateway REST as a Lambda proxy integration sees it: requests to events, results to answers.

Rules kept: what a request becomes is decided here and nowhere else, so tests and the local front
share one idea of an API Gateway event; every media type is binary (`BinaryMediaTypes: ["*/*"]`), so
a body always travels as base64; of two routes the one with the fixed part further left wins, as in
API Gateway's resource tree. Answers that API Gateway gives by itself follow the template's
`GatewayResponses`.

Not done here: authorisers (`hotplate_tools.local.authoriser`). Not done: usage plans, request validation,
caching, HTTP APIs (payload format
2.0).

Source: API Gateway developer guide, "Lambda proxy integrations" (input and output format) and
"Gateway response types".
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from hotplate.streaming.response import proxy_result
from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hotplate_tools.local.template import Route

__all__ = [
    "Answer",
    "GatewayResponses",
    "Request",
    "match_route",
    "proxy_event",
    "read_answer",
    "streamed_result",
]

# Headers about the connection, which end at API Gateway, and the length, which base64 changes.
_NOT_FORWARDED = {
    "connection",
    "content-length",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}

# Status and message of the answers API Gateway gives by itself. A Lambda function that fails or
# returns another shape is the integration's failure, answered 502.
_OWN_ANSWERS = {
    "ACCESS_DENIED": (403, "User is not authorized to access this resource"),
    "AUTHORIZER_CONFIGURATION_ERROR": (500, "Internal server error"),
    "AUTHORIZER_FAILURE": (500, "Internal server error"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "REQUEST_TOO_LARGE": (413, "Request Entity Too Large"),
    "THROTTLED": (429, "Too Many Requests"),
    "UNAUTHORIZED": (401, "Unauthorized"),
    "INTEGRATION_FAILURE": (502, "Internal server error"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
}
_VARIABLE = re.compile(r"\$context\.([A-Za-z.]+)")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    Attributes:
        method: Upper case.
        target: Path and query as sent, without the stage; the path stays percent-encoded.
        headers: As sent, in order, repeated ones repeated.
        body: Its bytes; None when there was none.
        source_ip: Address of the caller.
    """

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    source_ip: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer: status, headers in order, body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def match_route(routes: Iterable[Route], method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the route that `path` (percent-encoded, without the stage) takes and its path parameters.

    None when no resource matches, or the one that does has not this method.
    """
    candidates = [(route, found) for route in routes if (found := _match(route.resource, path)) is not None]
    if not candidates:
        return None
    best = min(_specificity(route.resource) for route, _ in candidates)
    there = [each for each in candidates if _specificity(each[0].resource) == best]
    exact = [each for each in there if each[0].method == method]
    anything = [each for each in there if each[0].method == "ANY"]
    return next(iter(exact + anything), None)


def proxy_event(
    request: Request, *, resource: str, path_parameters: Mapping[str, str], stage: str, request_id: str = ""
) -> dict[str, Any]:
    """Return the event that a Lambda function gets for `request`.

    Args:
        request: What came.
        resource: The route's path, as in `/v2/models/{model_name}/infer`.
        path_parameters: What the parts in braces took, decoded.
        stage: Name of the stage.
        request_id: API Gateway's id of the request; made up when empty.
    """
    target = urlsplit(request.target)
    forwarded = [
        *((name, value) for name, value in request.headers if name.lower() not in _NOT_FORWARDED),
        ("X-Forwarded-For", request.source_ip),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ]
    query = parse_qsl(target.query, keep_blank_values=True)
    return {
        "resource": resource,
        "path": target.path,
        "httpMethod": request.method,
        "headers": dict(forwarded),
        "multiValueHeaders": _multi(forwarded),
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": _multi(query) or None,
        "pathParameters": dict(path_parameters) or None,
        "stageVariables": None,
        "requestContext": _context(request, target.path, resource, stage, request_id or str(uuid.uuid4())),
        "body": None if request.body is None else base64.b64encode(request.body).decode("ascii"),
        "isBase64Encoded": request.body is not None,
    }


def read_answer(payload: bytes) -> Answer | None:
    """Return the answer in a function's result, or None when it has not the shape of one."""
    try:
        result = json.loads(payload)
        status = int(result["statusCode"])
        body = "" if result.get("body") is None else result["body"]
        raw = base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else body.encode()
        single = {name: [value] for name, value in (result.get("headers") or {}).items()}
        # A header given both ways counts once; the list wins, whatever its case.
        multi = result.get("multiValueHeaders") or {}
        listed = {name.lower() for name in multi}
        merged = {**{name: value for name, value in single.items() if name.lower() not in listed}, **multi}
        headers = tuple(
            (name, _header(value)) for name, values in merged.items() for value in _listed(values)
        )
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        return None
    if set(result) - {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}:
        return None
    return Answer(status, headers, raw) if 100 <= status <= 599 else None


def streamed_result(payload: bytes) -> bytes:
    """Return a streamed answer as the result that `read_answer` takes; of another payload nothing."""
    return json.dumps(proxy_result(payload)).encode()


@dataclass(frozen=True, slots=True)
class GatewayResponses:
    """What API Gateway answers by itself, by the template's `GatewayResponses` where it has any."""

    declared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def answer(self, kind: str, request_id: str) -> Answer:
        """Return the answer of type `kind`, as `THROTTLED`."""
        status, message = _OWN_ANSWERS[kind]
        own = self.declared.get(kind) or self.declared.get(f"DEFAULT_{status // 100}XX") or {}
        templates = own.get("ResponseTemplates") or {
            "application/json": '{"message": $context.error.messageString}'
        }
        (content_type, template) = next(iter(templates.items()))
        values = {
            "error.message": message,
            "error.messageString": json.dumps(message),
            "error.responseType": kind,
            "requestId": request_id,
        }
        body = _VARIABLE.sub(lambda match: _known(values, match[1]), template)
        declared = own.get("ResponseParameters", {}).get("Headers", {})
        headers = (
            ("Content-Type", content_type),
            ("x-amzn-ErrorType", kind),
            *((name, _static(value)) for name, value in declared.items()),
        )
        return Answer(int(own.get("StatusCode", status)), headers, body.encode())


def _known(values: Mapping[str, str], name: str) -> str:
    if name not in values:
        raise FailedError(f"the template's GatewayResponses use $context.{name}, which is not known here")
    return values[name]


def _static(value: str) -> str:
    if not (len(value) >= 2 and value[0] == value[-1] == "'"):
        raise FailedError(
            f"the template's GatewayResponses map a header from {value}; only 'text' is known here"
        )
    return value[1:-1]


def _listed(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError
    return values


def _header(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise TypeError
    return str(value)


def _match(resource: str, path: str) -> dict[str, str] | None:
    wanted, given = resource.split("/"), path.split("/")
    found: dict[str, str] = {}
    for index, part in enumerate(wanted):
        if part.startswith("{") and part.endswith("+}"):
            rest = given[index:]
            return {**found, part[1:-2]: unquote("/".join(rest))} if any(rest) else None
        if index >= len(given):
            return None
        if part.startswith("{") and part.endswith("}") and given[index]:
            found[part[1:-1]] = unquote(given[index])
        elif part != given[index]:
            return None
    return found if len(wanted) == len(given) else None


def _specificity(resource: str) -> tuple[int, ...]:
    return tuple(2 if part.endswith("+}") else int(part.startswith("{")) for part in resource.split("/"))


def _multi(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _context(request: Request, path: str, resource: str, stage: str, request_id: str) -> dict[str, Any]:
    now = time.time()
    headers = {name.lower(): value for name, value in request.headers}
    return {
        "accountId": "012345678912",
        "apiId": "local",
        "domainName": headers.get("host", "localhost"),
        "domainPrefix": "local",
        "extendedRequestId": request_id,
        "httpMethod": request.method,
        "identity": {
            "accessKey": None,
            "accountId": None,
            "caller": None,
            "cognitoAuthenticationProvider": None,
            "cognitoAuthenticationType": None,
            "cognitoIdentityId": None,
            "cognitoIdentityPoolId": None,
            "principalOrgId": None,
            "sourceIp": request.source_ip,
            "user": None,
            "userAgent": headers.get("user-agent"),
            "userArn": None,
        },
        "path": f"/{stage}{path}",
        "protocol": "HTTP/1.1",
        "requestId": request_id,
        "requestTime": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(now * 1000),
        "resourceId": "local",
        "resourcePath": resource,
        "stage": stage,
    }
