"""Rates: a usage plan of API Gateway for each pair of rate and burst, and an API key of its own a tenant.

A plan counts each of its keys apart, so tenants of one rate share a plan and not the rate. The value of the
key is what the authoriser returns for the tenant; no caller ever sends or sees it. Accounts have room for 300
plans and 10,000 such keys.

Source: API Gateway Developer Guide, "Usage plans and API keys"; quotas of REST APIs.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotplate.tenants.keys import Tenant
    from hotplate_tools.keys.stack import CallersOfStack

__all__ = ["new_usage_key", "set_rate"]


def new_usage_key() -> str:
    """Return a value for a tenant's API key of API Gateway, of 20 to 128 characters."""
    return secrets.token_urlsafe(32)


def set_rate(callers: CallersOfStack, tenant: Tenant) -> None:
    """Put the tenant's key into the plan of its rate and out of any other; make what is missing."""
    plan_id = _plan(callers, tenant)
    key_id = _key(callers, tenant)
    has_it = False
    for plan in _plans(callers):
        keys = _pages(callers, "get_usage_plan_keys", usagePlanId=plan["id"])
        if any(each["id"] == key_id for each in keys):
            has_it = has_it or plan["id"] == plan_id
            if plan["id"] != plan_id:
                callers.gateway.delete_usage_plan_key(usagePlanId=plan["id"], keyId=key_id)
    if not has_it:
        callers.gateway.create_usage_plan_key(usagePlanId=plan_id, keyId=key_id, keyType="API_KEY")


def _plan(callers: CallersOfStack, tenant: Tenant) -> str:
    name = f"{callers.name} {tenant.rate:g}/s burst {tenant.burst}"
    for plan in _plans(callers):
        if plan["name"] == name:
            return str(plan["id"])
    made = callers.gateway.create_usage_plan(
        name=name,
        description="Made by `hotplate keys`.",
        apiStages=[{"apiId": callers.api, "stage": callers.stage}],
        throttle={"rateLimit": tenant.rate, "burstLimit": tenant.burst},
    )
    return str(made["id"])


def _plans(callers: CallersOfStack) -> list[dict[str, Any]]:
    """Return the plans of this stack's stage."""
    stage = {"apiId": callers.api, "stage": callers.stage}
    return [
        plan
        for plan in _pages(callers, "get_usage_plans")
        if any(stage.items() <= each.items() for each in plan.get("apiStages", []))
    ]


def _key(callers: CallersOfStack, tenant: Tenant) -> str:
    name = f"{callers.name} {tenant.name}"
    for key in _pages(callers, "get_api_keys", nameQuery=name, includeValues=True):
        if key["name"] == name and key["value"] == tenant.usage_key:
            return str(key["id"])
    made = callers.gateway.create_api_key(name=name, value=tenant.usage_key, enabled=True)
    return str(made["id"])


def _pages(callers: CallersOfStack, call: str, **arguments: Any) -> list[dict[str, Any]]:
    pages = callers.gateway.get_paginator(call).paginate(**arguments)
    return [each for page in pages for each in page.get("items", [])]
