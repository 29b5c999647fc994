"""What is done with keys: made, listed, revoked, replaced; and with tenants: given limits.

The key itself is returned where it is made and kept nowhere.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hotplate.errors import StoreNotFoundError
from hotplate.tenants.keys import TENANT, Key, Tenant, digest_of, new_key, read_scopes
from hotplate.tenants.usage import INTERNAL
from hotplate_tools.failures import RefusedError
from hotplate_tools.keys.plans import new_usage_key, set_rate

if TYPE_CHECKING:
    from hotplate.tenants.keys import Scopes
    from hotplate_tools.keys.stack import CallersOfStack

__all__ = [
    "DEFAULT_BURST",
    "DEFAULT_RATE",
    "Limits",
    "NewKey",
    "create",
    "find",
    "first_key",
    "limit",
    "revoke",
    "rotate",
    "webhook_secret",
]

# Of a tenant that is given none. Ours.
DEFAULT_RATE = 50.0
DEFAULT_BURST = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """New limits of a tenant; None leaves what is, and a quota or budget of 0 takes it away.

    Attributes:
        rate, burst: Requests a second, and at once.
        quota: Requests a month.
        budget_usd: USD a month.
    """

    rate: float | None = None
    burst: int | None = None
    quota: int | None = None
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: `secret` is shown now or never."""

    secret: str
    key: Key


def create(
    callers: CallersOfStack,
    tenant: str,
    scopes: Scopes,
    *,
    expires_days: int | None = None,
    note: str = "",
    limits: Limits | None = None,
) -> NewKey:
    """Make a key; its tenant too if it is new.

    Args:
        callers: Of which stack.
        tenant: Name of who pays.
        scopes: What the key allows.
        expires_days: Days until it is refused; None for never.
        note: What its owner calls it.
        limits: Of the tenant; None leaves what is, or takes the defaults.

    Raises:
        RefusedError: The tenant's name is none.
        StoreError: The tables cannot be read or written.
    """
    if limits is not None or callers.table.tenant(tenant) is None:
        limit(callers, tenant, limits or Limits())
    secret, now = new_key(), int(time.time())
    expires = None if expires_days is None else now + expires_days * 86400
    key = Key(digest_of(secret), tenant, scopes, now, expires, note=note)
    callers.table.add_key(key)
    return NewKey(secret, key)


def first_key(callers: CallersOfStack) -> str:
    """Make the first key of a local cloud, which may do everything, and return it."""
    return create(callers, "local", read_scopes(["*:*"]), note="hotplate up").secret


def limit(callers: CallersOfStack, name: str, limits: Limits) -> Tenant:
    """Change a tenant's limits, or make the tenant.

    Raises:
        RefusedError: The name is none.
        StoreError: The tables cannot be read or written.
    """
    if not TENANT.fullmatch(name):
        raise RefusedError(
            f"{name!r} is no name of a tenant: lower-case letters, digits, . _ - and 63 at most"
        )
    known = callers.table.tenant(name)
    tenant = known or Tenant(name, new_usage_key(), DEFAULT_RATE, DEFAULT_BURST)
    tenant = replace(
        tenant,
        rate=tenant.rate if limits.rate is None else limits.rate,
        burst=tenant.burst if limits.burst is None else limits.burst,
    )
    if limits.quota is not None:
        tenant = replace(tenant, quota=limits.quota or None)
    if limits.budget_usd is not None:
        tenant = replace(tenant, budget_nano_usd=round(limits.budget_usd * 1e9) or None)
    # The plan first: a tenant that is known and has no plan could not call.
    set_rate(callers, tenant)
    callers.table.put_tenant(tenant)
    return tenant


def webhook_secret(callers: CallersOfStack, tenant: str, *, overlap_s: int | None = None) -> str:
    """Return the newest secret of a tenant's webhooks, made now if there is none.

    Args:
        callers: Of which stack.
        tenant: Whose; `-` where nobody is asked who it is.
        overlap_s: Make another one, and sign with the one before for so long; None makes only the first.

    Raises:
        StoreNotFoundError: There is no such tenant.
        StoreError: The table cannot be read or written.
    """
    if tenant != INTERNAL and callers.table.tenant(tenant) is None:
        raise StoreNotFoundError(f"there is no tenant {tenant}; `hotplate keys list` lists them")
    if overlap_s is not None:
        return callers.webhooks.replace(tenant, overlap_s=overlap_s)
    return next(iter(callers.webhooks.of(tenant)), None) or callers.webhooks.replace(tenant)


def find(callers: CallersOfStack, key_id: str) -> Key:
    """Return the key of this id.

    Raises:
        StoreNotFoundError: There is none.
        StoreError: The tables cannot be read.
    """
    for key in callers.table.all_keys():
        if key.id == key_id:
            return key
    raise StoreNotFoundError(f"there is no key {key_id}; `hotplate keys list` lists them")


def revoke(callers: CallersOfStack, key_id: str, *, after_s: int = 0) -> Key:
    """Refuse a key from now on, or after some seconds; return it as it is then.

    Raises:
        StoreNotFoundError: There is none.
        StoreError: The tables cannot be read or written.
    """
    callers.table.revoke(find(callers, key_id).sha256, int(time.time()) + after_s)
    return find(callers, key_id)


def rotate(
    callers: CallersOfStack, key_id: str, *, overlap_s: int, expires_days: int | None = None
) -> NewKey:
    """Make a key that allows the same for the same tenant, and refuse the old one after `overlap_s`.

    Raises:
        RefusedError: The old one is not good any more.
        StoreNotFoundError: There is none.
        StoreError: The tables cannot be read or written.
    """
    old = find(callers, key_id)
    if why := old.refused(time.time()):
        raise RefusedError(f"key {key_id} is {why}", advice="Make a new one with `hotplate keys create`.")
    made = create(callers, old.tenant, old.scopes, expires_days=expires_days, note=old.note)
    callers.table.revoke(old.sha256, int(time.time()) + overlap_s)
    return made
