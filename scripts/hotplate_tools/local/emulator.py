"""A program: the local cloud as its own command starts it, with things that AWS does and it does not.

- API Gateway takes a request without `Content-Type` or `Accept` for one with `application/json`, which
  `BinaryMediaTypes: ["*/*"]` covers, so bodies are bytes both ways. ministack 1.5 takes it for text,
  and garbles what clients send and get that leave these headers out (Triton's, Python's http.client).
- A function's reserved concurrency holds for all its versions together. ministack 1.5 applies it only
  to calls of the unpublished one; an API that calls an alias would never be throttled.
- An API whose `apiKeySource` is `AUTHORIZER` finds the caller's usage plan by the `usageIdentifierKey` that
  its authoriser returns. ministack 1.5 looks for a header instead.
- A subscription filter may select JSON by a property, `{ $.name = "text" }`. ministack 1.5 looks for words.
- Lines of a log are delivered to its subscriptions in batches. ministack 1.5 calls the function for each,
  all at once, so that a burst of requests starts as many workers again.
- CloudFormation gives a mapping's `MaximumConcurrency` to Lambda as a number, also if it is a parameter's
  value. ministack 1.5 keeps the text, compares it with a number, and takes no more messages from any queue.
- Streaming functions and streaming methods of an API (`hotplate_tools.local.streaming.cloud`), and Lambda's
  InvokeWithResponseStream (`…streaming.calls`).
- Tenant isolation (`hotplate_tools.local.tenants`), and signatures that are checked (`…signatures`).
- A function and its layers are unpacked once (`hotplate_tools.local.shared_zips`). ministack 1.5 unpacks them
  for every execution environment.

Runs in the environment `cloud` (requirements/cloud.txt, where the version is pinned); nothing else
imports it.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

from ministack import app as cloud  # type: ignore[import-not-found] # lives in its own environment
from ministack.core import lambda_runtime  # type: ignore[import-not-found]
from ministack.services import (  # type: ignore[import-not-found]
    apigateway_v1,
    cloudwatch_logs,
    lambda_svc,
)
from ministack.services.cloudformation import provisioners  # type: ignore[import-not-found]

# This environment knows nothing of the project; of it, only what needs nothing else is imported.
sys.path.append(str(Path(__file__).parents[2]))

from hotplate_tools.local.shared_zips import SharedZips
from hotplate_tools.local.signatures import with_checked_signatures, with_raw_requests
from hotplate_tools.local.streaming.calls import streamed_call
from hotplate_tools.local.streaming.cloud import (
    with_exec_wrapper,
    with_streaming_methods,
    with_streaming_workers,
)
from hotplate_tools.local.tenants import (
    TENANT,
    with_parameters,
    with_tenancy,
    with_tenant_of_call,
    with_tenant_of_request,
    with_tenants_apart,
    with_tenants_context,
    with_tenants_key,
    with_tenants_workers,
)

type Invoke = Callable[[dict[str, Any], dict[str, Any], str, str], Awaitable[dict[str, Any] | None]]
type Deliver = Callable[[str, str, list[dict[str, Any]]], None]
type App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

# What the authoriser of the request in work returned.
USAGE_KEY: ContextVar[str] = ContextVar("usage_key", default="")
JSON_PATTERN = re.compile(r'\s*\{\s*\$\.(\w+)\s*=\s*"([^"]*)"\s*\}\s*')
# How long lines of a log are collected before they are delivered, in seconds.
BATCH_S = 0.5
DEFAULTS = ((b"accept", b"application/json"), (b"content-type", b"application/json"))


def with_media_types(app: App) -> App:
    """Return `app` behind a front that gives requests to an API the headers that API Gateway assumes."""

    async def front(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and "/_user_request_/" in scope["path"]:
            given = {name.lower() for name, _ in scope["headers"]}
            assumed = [default for default in DEFAULTS if default[0] not in given]
            scope = {**scope, "headers": [*scope["headers"], *assumed]}
        await app(scope, receive, send)

    return front


def with_shared_concurrency(
    own: Callable[[Any, dict[str, Any]], int | None],
) -> Callable[[Any, dict[str, Any]], int | None]:
    """Return `own`, which reads a record's reserved concurrency, asked for the function's own record."""

    def shared(_version: object, config: dict[str, Any]) -> int | None:
        return own(lambda_svc._functions.get(config["FunctionName"]), config)

    return shared


def with_usage_key(own: Invoke) -> Invoke:
    """Return `own`, which invokes an authoriser, keeping the key that it returns for `by_usage_key`."""

    async def invoke(
        authorizer: dict[str, Any], event: dict[str, Any], account: str, region: str
    ) -> dict[str, Any] | None:
        result = await own(authorizer, event, account, region)
        body = (result or {}).get("body") or {}
        returned = json.loads(body) if isinstance(body, str | bytes) else body
        USAGE_KEY.set(str(returned.get("usageIdentifierKey") or ""))
        return result

    return invoke


def by_usage_key(
    own: Callable[[dict[str, Any], str, str, dict[str, Any]], Any],
) -> Callable[[dict[str, Any], str, str, dict[str, Any]], Any]:
    """Return `own`, which finds the key of a request, given the authoriser's where the API says so."""

    def check(method: dict[str, Any], api: str, stage: str, headers: dict[str, Any]) -> Any:
        if apigateway_v1._rest_apis[api].get("apiKeySource") == "AUTHORIZER":
            headers = {"x-api-key": USAGE_KEY.get()}
        return own(method, api, stage, headers)

    return check


def with_json_patterns(own: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    """Return `own`, which says if a filter's pattern matches a message, for a property of JSON too."""

    def matches(pattern: str, message: str) -> bool:
        found = JSON_PATTERN.fullmatch(pattern or "")
        if found is None:
            return own(pattern, message)
        try:
            record = json.loads(message)
        except ValueError:
            return False
        return isinstance(record, dict) and record.get(found[1]) == found[2]

    return matches


def with_numbers(own: Callable[..., int]) -> Callable[..., int]:
    """Return `own`, which says how much of a mapping's queue is worked on at once, given numbers."""

    def concurrency(mapping: dict[str, Any], *rest: Any) -> int:
        scaling = {name: int(value) for name, value in (mapping.get("ScalingConfig") or {}).items()}
        return own({**mapping, "ScalingConfig": scaling}, *rest)

    return concurrency


def in_batches(own: Deliver) -> Deliver:
    """Return `own`, which delivers lines to a log's subscriptions, called with those of `BATCH_S` at once."""
    lock = threading.Lock()
    waiting: dict[str, tuple[str, list[dict[str, Any]]]] = {}

    def deliver() -> None:
        with lock:
            batches = dict(waiting)
            waiting.clear()
        for group, (stream, events) in batches.items():
            own(group, stream, events)

    def collect(group: str, stream: str, events: list[dict[str, Any]]) -> None:
        with lock:
            is_first = not waiting
            # Each invocation has a stream of its own here, as each environment has at AWS.
            waiting.setdefault(group, (stream, []))[1].extend(events)
        if is_first:
            context = copy_context()
            context.run(TENANT.set, None)  # who reads a log does not read it for the tenant that wrote it
            timer = threading.Timer(BATCH_S, context.run, (deliver,))
            timer.daemon = True
            timer.start()

    return collect


if __name__ == "__main__":
    apigateway_v1._invoke_authorizer_lambda = with_usage_key(apigateway_v1._invoke_authorizer_lambda)
    apigateway_v1._check_api_key = by_usage_key(apigateway_v1._check_api_key)
    cloudwatch_logs._subscription_pattern_matches = with_json_patterns(
        cloudwatch_logs._subscription_pattern_matches
    )
    cloudwatch_logs._fanout_to_subscription_filters = in_batches(
        cloudwatch_logs._fanout_to_subscription_filters
    )
    lambda_svc._sqs_esm_concurrency = with_numbers(lambda_svc._sqs_esm_concurrency)
    lambda_svc._reserved_concurrency = with_shared_concurrency(lambda_svc._reserved_concurrency)
    lambda_runtime.zipfile = SharedZips(Path(tempfile.gettempdir()) / "unpacked")
    lambda_runtime._detect_runtime_binary = with_exec_wrapper(lambda_runtime._detect_runtime_binary)
    lambda_runtime._worker_class_for = with_streaming_workers(lambda_runtime._worker_class_for)
    apigateway_v1._invoke_lambda_proxy_v1 = with_streaming_methods(apigateway_v1._invoke_lambda_proxy_v1)
    lambda_runtime._detect_runtime_binary = with_tenants_context(lambda_runtime._detect_runtime_binary)
    lambda_runtime._worker_class_for = with_tenants_workers(lambda_runtime._worker_class_for)
    lambda_runtime._worker_key = with_tenants_key(lambda_runtime._worker_key)
    lambda_svc._execute_function = with_tenants_apart(lambda_svc._execute_function)
    lambda_svc._invoke = with_tenant_of_call(lambda_svc._invoke)
    lambda_svc._invoke_with_response_stream = streamed_call
    function = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    function["create"] = with_tenancy(function["create"])
    apigateway_v1._import_operation = with_parameters(apigateway_v1._import_operation)
    apigateway_v1._invoke_lambda_proxy_v1 = with_tenant_of_request(apigateway_v1._invoke_lambda_proxy_v1)
    apigateway_v1._authorize_request_v1 = with_checked_signatures(apigateway_v1._authorize_request_v1)
    cloud.app = with_raw_requests(with_media_types(cloud.app))
    cloud.main()
