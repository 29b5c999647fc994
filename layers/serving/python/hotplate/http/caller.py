"""Who asks, as the authoriser found out, and the refusals that it leaves to the function.

The authoriser refuses with 401 and 403 by itself. API Gateway lets it choose no other status, so of a tenant
who has used up the month it only says so, and whoever answers the request refuses it before any work is done.

Source: API Gateway Developer Guide, "Output from an API Gateway Lambda authorizer".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hotplate.errors import BudgetSpentError, QuotaSpentError, TenantMismatchError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from hotplate.http.event import LambdaContext

__all__ = [
    "FALLBACK",
    "NOBODY",
    "Caller",
    "caller_of",
    "refuse_other_tenant",
    "refuse_spent",
    "tenant_told",
]

_SPENT = {"quota": QuotaSpentError, "budget": BudgetSpentError}


class Caller(NamedTuple):
    """A caller, as the authoriser knows it.

    Attributes:
        tenant: Who pays; `iam:ACCOUNT` of a call that AWS signed, None where nobody was asked who it is.
        key: Id of the API key; None of a token, or where there is none.
        scopes: What may be seen, as `VERB:MODEL` with blanks between; None is everything.
        spent: `quota` or `budget` if the tenant has used it up, else "".
        spent_text: That, in words for the caller.
        asked: Model that was asked, where another answers instead, or the same elsewhere; else "".
        is_again: Whether the one asked has a usage line for the same request.
    """

    tenant: str | None = None
    key: str | None = None
    scopes: str | None = None
    spent: str = ""
    spent_text: str = ""
    asked: str = ""
    is_again: bool = False


NOBODY = Caller()
# Member of `requestContext` in which the relay says for which model another is asked.
FALLBACK = "hotplateFallback"


def caller_of(event: Mapping[str, Any]) -> Caller:
    """Return who sent the request of a proxy event, and whom first."""
    context = event.get("requestContext") or {}
    caller = _caller(context)
    if FALLBACK in context:  # written by the relay: API Gateway has no such member, and callers write none
        told = context[FALLBACK]
        return caller._replace(asked=told["asked"], is_again=told["is_again"])
    return caller


def _caller(context: Mapping[str, Any]) -> Caller:
    found = context.get("authorizer") or {}
    if "tenant" in found:
        return Caller(
            found["tenant"],
            found.get("key") or None,
            found.get("scopes", ""),
            found.get("spent", ""),
            found.get("spent_text", ""),
        )
    account = (context.get("identity") or {}).get("accountId")
    return Caller(f"iam:{account}") if account else NOBODY


def refuse_spent(caller: Caller) -> None:
    """Refuse a caller whose tenant has used up the month.

    Raises:
        QuotaSpentError: Its requests.
        BudgetSpentError: Its money.
    """
    if caller.spent:
        raise _SPENT[caller.spent](caller.spent_text)


def refuse_other_tenant(caller: Caller, context: LambdaContext, *, is_isolated: bool) -> None:
    """Refuse a request that Lambda ran in an environment of another tenant, or of none.

    Args:
        caller: Whose request it is.
        context: Of the invocation; says whose environment this is, where the function isolates tenants.
        is_isolated: Whether this function is meant to.

    Raises:
        TenantMismatchError: Caller and environment are not one tenant's.
    """
    tenant = getattr(context, "tenant_id", None)
    if (is_isolated or tenant is not None) and (tenant is None or tenant != caller.tenant):
        raise TenantMismatchError(
            f"a request of tenant {caller.tenant!r} was run in an environment of {tenant!r}"
        )


def tenant_told(model: str, event: Mapping[str, Any], isolated: Container[str]) -> str | None:
    """Return the tenant that Lambda is told for an event: its caller, if `model` is one of `isolated`."""
    return caller_of(event).tenant if model in isolated else None
