"""`hotplate keys`: who may call a stack's API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.console import Console
from hotplate_tools.options import as_json_option, stack_options

if TYPE_CHECKING:
    from hotplate.tenants.keys import Key, Tenant
    from hotplate_tools.deployed import DeployedStack
    from hotplate_tools.keys.manage import NewKey

__all__ = ["keys"]

# A caller who got the new key has this long to take it into use, in hours.
OVERLAP_HOURS = 24


@click.group()
def keys() -> None:
    """Make, list, revoke and replace the API keys of a stack; set what their tenants may use."""


@keys.command()
@click.argument("tenant")
@click.option(
    "--allow",
    multiple=True,
    metavar="VERB:MODEL",
    default=("infer:*", "read:*", "usage:*"),
    show_default=True,
    help="What the key allows: infer, read, usage or * of a model or *; may be given several times.",
)
@click.option("--expires-days", type=click.IntRange(1), help="Days until it is refused; never if not given.")
@click.option("--note", default="", help="What you call it.")
@click.option("--dry-run", is_flag=True, help="Print what would be made, and make nothing.")
@stack_options
@as_json_option
def create(
    tenant: str,
    *,
    allow: tuple[str, ...],
    expires_days: int | None,
    note: str,
    dry_run: bool,
    stack: DeployedStack,
    as_json: bool,
) -> None:
    """Make a key for TENANT and show it, once."""
    from hotplate.tenants.keys import read_scopes
    from hotplate_tools.keys import manage
    from hotplate_tools.keys.stack import callers_of

    scopes = read_scopes(allow)
    callers = callers_of(stack)
    if dry_run:
        new = "" if callers.table.tenant(tenant) else " (new)"
        would = {"tenant": tenant, "new_tenant": bool(new), "allows": str(scopes).split()}
        Console(as_json=as_json).result(would, f"would make a key for {tenant}{new} that allows {scopes}")
        return
    made = manage.create(callers, tenant, scopes, expires_days=expires_days, note=note)
    _show_new(made, as_json=as_json)


@keys.command("list")
@click.option("--tenant", help="Only this tenant's.")
@stack_options
@as_json_option
def list_keys(*, tenant: str | None, stack: DeployedStack, as_json: bool) -> None:
    """List keys and tenants, never the keys themselves."""
    from hotplate_tools.keys.stack import callers_of

    callers = callers_of(stack)
    found = [key for key in callers.table.all_keys() if tenant in (None, key.tenant)]
    tenants = [each for each in callers.table.tenants() if tenant in (None, each.name)]
    value = {"keys": [_key_dict(key) for key in found], "tenants": [_tenant_dict(each) for each in tenants]}
    rows = [f"{key.id}  {key.tenant}  {_state(key)}  {key.scopes}  {key.note}".rstrip() for key in found]
    rows += [f"tenant {_tenant_text(each)}" for each in tenants]
    Console(as_json=as_json).result(value, "\n".join(rows) or "no keys")


@keys.command()
@click.argument("key_id", metavar="KEY_ID")
@stack_options
@as_json_option
def revoke(key_id: str, *, stack: DeployedStack, as_json: bool) -> None:
    """Refuse a key from now on; within 60 seconds nobody gets in with it."""
    from hotplate_tools.keys import manage
    from hotplate_tools.keys.stack import callers_of

    key = manage.revoke(callers_of(stack), key_id)
    text = f"{key.id} of {key.tenant} is revoked; within 60 seconds nobody gets in with it"
    Console(as_json=as_json).result(_key_dict(key), text)


@keys.command()
@click.argument("key_id", metavar="KEY_ID")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 24 * 90),
    default=OVERLAP_HOURS,
    show_default=True,
    help="Hours that the old key goes on working.",
)
@click.option("--expires-days", type=click.IntRange(1), help="Days until the new one is refused.")
@stack_options
@as_json_option
def rotate(
    key_id: str,
    *,
    overlap_hours: int,
    expires_days: int | None,
    stack: DeployedStack,
    as_json: bool,
) -> None:
    """Make a key like KEY_ID and show it, once; the old one ends after a while."""
    from hotplate_tools.keys import manage
    from hotplate_tools.keys.stack import callers_of

    callers = callers_of(stack)
    made = manage.rotate(callers, key_id, overlap_s=overlap_hours * 3600, expires_days=expires_days)
    _show_new(made, as_json=as_json)


@keys.command()
@click.argument("tenant")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests a second.")
@click.option("--burst", type=click.IntRange(1), help="Requests at once.")
@click.option("--quota", type=click.IntRange(0), help="Requests a month (UTC); 0 takes it away.")
@click.option("--budget", type=click.FloatRange(0), help="USD a month (UTC); 0 takes it away.")
@stack_options
@as_json_option
def limits(
    tenant: str,
    *,
    rate: float | None,
    burst: int | None,
    quota: int | None,
    budget: float | None,
    stack: DeployedStack,
    as_json: bool,
) -> None:
    """Say what TENANT may use; makes the tenant if it is new. What is not given stays."""
    from hotplate_tools.keys import manage
    from hotplate_tools.keys.stack import callers_of

    callers = callers_of(stack)
    done = manage.limit(callers, tenant, manage.Limits(rate, burst, quota, budget))
    Console(as_json=as_json).result(_tenant_dict(done), _tenant_text(done))


@keys.command("webhook-secret")
@click.argument("tenant")
@click.option("--rotate", is_flag=True, help="Make another one, even if there is one.")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 24 * 90),
    default=OVERLAP_HOURS,
    show_default=True,
    help="With --rotate: hours that webhooks are signed with the old one too.",
)
@stack_options
@as_json_option
def webhook_secret(
    tenant: str,
    *,
    rotate: bool,
    overlap_hours: int,
    stack: DeployedStack,
    as_json: bool,
) -> None:
    """Print the secret that TENANT's webhooks are signed with; make it if there is none."""
    from hotplate_tools.keys import manage
    from hotplate_tools.keys.stack import callers_of

    callers = callers_of(stack)
    overlap_s = overlap_hours * 3600 if rotate else None
    secret = manage.webhook_secret(callers, tenant, overlap_s=overlap_s)
    Console(as_json=as_json).result({"tenant": tenant, "secret": secret}, secret)


def _show_new(made: NewKey, *, as_json: bool) -> None:
    console = Console(as_json=as_json)
    console.warn("The key is shown this once, and kept nowhere.")
    console.result({"secret": made.secret, **_key_dict(made.key)}, made.secret)


def _key_dict(key: Key) -> dict[str, Any]:
    names = ("id", "tenant", "created", "expires", "revoked", "note")
    return {name: getattr(key, name) for name in names} | {
        "allows": str(key.scopes).split(),
        "state": _state(key),
    }


def _tenant_dict(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenant": tenant.name,
        "rate": tenant.rate,
        "burst": tenant.burst,
        "quota": tenant.quota,
        "budget_usd": None if tenant.budget_nano_usd is None else tenant.budget_nano_usd / 1e9,
    }


def _tenant_text(tenant: Tenant) -> str:
    budget = tenant.budget_nano_usd
    quota = "no quota" if tenant.quota is None else f"{tenant.quota} requests a month"
    money = "no budget" if budget is None else f"{budget / 1e9:.2f} USD a month"
    return f"{tenant.name}: {tenant.rate:g} requests a second, {tenant.burst} at once; {quota}; {money}"


def _state(key: Key) -> str:
    now = datetime.now(UTC).timestamp()
    if why := key.refused(now):
        return why
    ends = [at for at in (key.expires, key.revoked) if at is not None]
    return f"good until {datetime.fromtimestamp(min(ends), UTC):%Y-%m-%d %H:%M} UTC" if ends else "good"
