"""Tenant isolation in the local cloud: environments of their own for each tenant, as Lambda has them.

ministack 1.5 drops a function's `TenancyConfig` where CloudFormation makes it, and the `requestParameters` of
an integration in an API's definition. Here such a function has a pool of environments, which are processes,
for each tenant; its context says `tenant_id`; a call that names no tenant is refused, and so is
one that names a tenant where none is isolated; and API Gateway names the one that the integration maps from
what the authoriser said.

Runs in the environment `cloud`, as `emulator.py` does.

Source: AWS Lambda Developer Guide, "Tenant isolation"; AWS Lambda API Reference, "Invoke"
(`X-Amz-Tenant-Id`); API Gateway Developer Guide, "API request and response data mapping reference".
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ministack.services import apigateway_v1, lambda_svc  # type: ignore[import-not-found] # own environment

from hotplate_tools.local.streaming.cloud import TENANT_OF_WORKER, has_wrapper

__all__ = [
    "TENANT",
    "with_parameters",
    "with_tenancy",
    "with_tenant_of_call",
    "with_tenant_of_request",
    "with_tenants_apart",
    "with_tenants_context",
    "with_tenants_key",
    "with_tenants_workers",
]

type Proxy = Callable[..., Awaitable[Any]]

# Whom the call in work is for.
TENANT: ContextVar[str | None] = ContextVar("tenant", default=None)

_UNFIT = "InvalidParameterValueException"
_CALL_HEADER = "x-amz-tenant-id"
_INTEGRATION_HEADER = "integration.request.header.X-Amz-Tenant-Id"
_AUTHORIZER = "context.authorizer."
# Marks a worker's runtime, so that its context is made for this tenant.
_TENANTS = "tenant "
# Where ministack's worker makes the context of a call.
_CONTEXT = '"client_context": None,'


def with_tenancy(own: Callable[..., tuple[str, Any]]) -> Callable[..., tuple[str, Any]]:
    """Return `own`, which makes a function for CloudFormation, with its `TenancyConfig`."""

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, Any]:
        name, attributes = own(logical_id, properties, stack)
        if tenancy := properties.get("TenancyConfig"):
            lambda_svc._functions[name]["config"]["TenancyConfig"] = tenancy
        return name, attributes

    return create


def with_parameters(own: Callable[..., None]) -> Callable[..., None]:
    """Return `own`, which imports an operation of an API's definition, with its integration's parameters."""

    def operation(api: str, resource: str, method: str, declared: Any, *rest: Any, **named: Any) -> None:
        own(api, resource, method, declared, *rest, **named)
        given = ((declared or {}).get("x-amazon-apigateway-integration") or {}).get("requestParameters")
        if given:
            made = apigateway_v1._resources[api][resource]["resourceMethods"][method]["methodIntegration"]
            made["requestParameters"] = given

    return operation


def with_tenant_of_request(own: Proxy) -> Proxy:
    """Return `own`, which has a request answered by a function, naming the tenant that is mapped."""

    async def invoke(integration: dict[str, Any], *args: Any, **named: Any) -> Any:
        source = (integration.get("requestParameters") or {}).get(_INTEGRATION_HEADER, "")
        told = named.get("authorizer_context") or {}
        TENANT.set(told.get(source.removeprefix(_AUTHORIZER)) if source.startswith(_AUTHORIZER) else None)
        return await own(integration, *args, **named)

    return invoke


def with_tenant_of_call(own: Proxy) -> Proxy:
    """Return `own`, which answers Lambda's Invoke, for the tenant that the call names."""

    async def invoke(name: str, event: Any, headers: dict[str, Any], *args: Any, **named: Any) -> Any:
        given = {key.lower(): value for key, value in headers.items()}
        TENANT.set(given.get(_CALL_HEADER))
        config = (lambda_svc._functions.get(name) or {}).get("config") or {}
        if config and (fault := _unfit(config)):
            body = json.dumps({"Type": "User", "message": fault}).encode()
            return (
                400,
                {"Content-Type": "application/json", "x-amzn-errortype": _UNFIT},
                body,
            )
        return await own(name, event, headers, *args, **named)

    return invoke


def with_tenants_apart(own: Callable[[Any, Any], dict[str, Any]]) -> Callable[[Any, Any], dict[str, Any]]:
    """Return `own`, which has a function work on an event, refusing what names no tenant, or one too many."""

    def execute(record: Any, event: Any) -> dict[str, Any]:
        fault = _unfit(record.get("config") or record)
        if fault is None:
            return own(record, event)
        return {"body": {"errorType": _UNFIT, "errorMessage": fault}, "error": True}

    return execute


def with_tenants_key(own: Callable[[str, Any, str], str]) -> Callable[[str, Any, str], str]:
    """Return `own`, which names the pool of a function's environments, with the tenant in the name."""

    def key(function: str, config: dict[str, Any], qualifier: str) -> str:
        pool = own(function, config, qualifier)
        return f"{pool}@{TENANT.get()}" if config.get("TenancyConfig") else pool

    return key


def with_tenants_workers(own: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """Return `own`, which chooses a function's kind of worker; an isolated tenant's stays that tenant's."""

    def worker_class(config: dict[str, Any]) -> Any:
        kind, tenant = own(config), TENANT.get()
        if not config.get("TenancyConfig"):
            return kind

        def worker(function: str, config: dict[str, Any], code: bytes) -> Any:
            if has_wrapper(config):  # its runtime is told by the Runtime API
                return kind(function, {**config, TENANT_OF_WORKER: tenant}, code)
            return kind(function, {**config, "Runtime": f"{_TENANTS}{tenant} {config['Runtime']}"}, code)

        return worker

    return worker_class


def with_tenants_context(own: Callable[[str], tuple[str, str]]) -> Callable[[str], tuple[str, str]]:
    """Return `own`, which names interpreter and script of a worker; the context says whose it is.

    Raises:
        RuntimeError: ministack's worker makes its context in another way than it did.
    """

    def binary_and_script(runtime: str) -> tuple[str, str]:
        if not runtime.startswith(_TENANTS):
            return own(runtime)
        _, tenant, plain = runtime.split(" ", 2)
        binary, script = own(plain)
        if script.count(_CONTEXT) != 1:
            raise RuntimeError("ministack's Python worker makes no context that a tenant could be put into")
        return binary, script.replace(_CONTEXT, f'{_CONTEXT} "tenant_id": {tenant!r},')

    return binary_and_script


def _unfit(config: dict[str, Any]) -> str | None:
    """Return why the call in work is no call of this function."""
    is_isolated, tenant = bool(config.get("TenancyConfig")), TENANT.get()
    if is_isolated and tenant is None:
        return "The invoked function requires a tenant ID."
    if not is_isolated and tenant is not None:
        return "The invoked function does not isolate tenants."
    return None
