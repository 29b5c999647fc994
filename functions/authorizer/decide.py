"""The decision on one request: who asks, whether the key is good, whether this may be asked.

Rules kept:

1. Nothing is allowed that is not found to be: an unknown path, a scope that is missing, a table that cannot
   be read all end in a refusal.
2. A key is looked up by the digest of the whole of it and compared in constant time, so how long a wrong one
   takes tells nothing of the right one.
3. What was read of a key, its tenant and what that has used is believed for `BELIEVED_S`, in this process
   only; API Gateway caches nothing, because its cache needs all headers that it is keyed by, and a key comes
   in one of two. So a revocation holds everywhere after `BELIEVED_S`, and no caller gets another's decision.
4. What may be asked is judged by the route that API Gateway has chosen (`resource`), not by the path as sent:
   there are not two readings of one path.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hotplate.tenants.keys import digest_of, key_id
from hotplate.tenants.usage import month_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from functions.authorizer.tokens import TokenReader
    from hotplate.aws.key_table import KeyTable
    from hotplate.aws.ledger import Ledger, Spent
    from hotplate.tenants.keys import Key, Scopes, Tenant, Verb

__all__ = ["BELIEVED_S", "Authoriser", "Decision", "UnauthorizedError", "wanted"]

# How long keys, tenants and what they used are believed, in seconds. Ours; the promise is 60.
BELIEVED_S = 30.0
# Callers that are remembered; the one asked for longest ago is forgotten first.
REMEMBERED = 4096
# Longest credential that is looked at, in characters. A token of an identity provider is 1 to 4 kB.
MAX_CHARS = 8192
# What the catalogue answers beside what is under these.
_PREFIXES = ("/v2", "/v1", "/openai/v1")
_READ = ("/ping", "/openapi.json")
# A job is a request too; whose it is, and the scopes for its model, the function asks.
_JOBS = (("POST", "/jobs"), *((method, "/jobs/{id}") for method in ("PUT", "GET", "DELETE")))
# Last parts of paths that ask a model.
_ASKS = ("infer", "explain", "generate", "generate_stream")
# Paths that name no model and go to the function of one, which asks the scopes again for that.
_GENERATING = tuple(
    f"{base}/{what}" for base in ("/v1", "/openai/v1") for what in ("chat/completions", "completions")
)
# What the relay answers: it finds the model, and asks the caller's scopes again for that one.
_RELAYED = ("/v1/{proxy+}", "/openai/v1/{proxy+}", "/endpoints/{proxy+}", "/invocations")
# Where inputs are put that are too large for a call: who may ask some model.
_UPLOADS = "/uploads"


class UnauthorizedError(Exception):
    """Nobody that is known. API Gateway answers 401 if the message is this very word.

    Attributes:
        why: What was wrong, for the log.
        key: Id of the key, if there is such a key.
    """

    def __init__(self, why: str, key: str = "") -> None:
        super().__init__("Unauthorized")
        self.why = why
        self.key = key


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request.

    Attributes:
        allowed: Whether it reaches the function.
        tenant: Who asks.
        usage_key: By which API Gateway's usage plan counts.
        scopes: What the caller may see.
        key: Id of the API key; "" of a token.
        spent: `quota` or `budget` if that is used up, else "".
        spent_text: That, in words for the caller.
    """

    allowed: bool
    tenant: str
    usage_key: str
    scopes: str
    key: str
    spent: str = ""
    spent_text: str = ""

    def context(self) -> dict[str, str]:
        """Return what the function is told of the caller."""
        names = ("tenant", "scopes", "key", "spent", "spent_text")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read of a caller, and until when it is believed, on the monotonic clock."""

    until: float
    key: Key
    tenant: Tenant
    spent: Spent


class Authoriser:
    """Decides, and remembers for `BELIEVED_S` what it has read."""

    def __init__(
        self,
        keys: KeyTable,
        ledger: Ledger,
        tokens: TokenReader | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Make one; `now` gives seconds since 1970."""
        self._keys = keys
        self._ledger = ledger
        self._tokens = tokens
        self._now = now
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def decide(self, event: Mapping[str, Any]) -> Decision:
        """Return what becomes of a request, given API Gateway's event for a REQUEST authoriser.

        Raises:
            UnauthorizedError: No credential, two, or one that is not good (any more).
            StoreError: Keys or ledger cannot be read.
        """
        credential = _credential(event)
        digest = digest_of(credential)
        if self._tokens and self._tokens.is_one(credential):
            known = self._remembered(digest) or self._read_token(digest, credential)
            name = ""
        else:
            known = self._remembered(digest) or self._read_key(digest)
            name = known.key.id
        if why := known.key.refused(self._now()):
            raise UnauthorizedError(why, name)
        verb, model = wanted(event)
        scopes = known.key.scopes
        allowed = verb is not None and _allows(scopes, verb, model)
        spent, text = ("", "") if verb == "usage" else _spent(known.tenant, known.spent, self._now())
        tenant = known.tenant
        return Decision(allowed, tenant.name, tenant.usage_key, str(scopes), name, spent, text)

    def _remembered(self, digest: str) -> _Known | None:
        known = self._known.get(digest)
        return known if known and time.monotonic() < known.until else None

    def _read_key(self, digest: str) -> _Known:
        key = self._keys.key(digest)
        # Found by its digest, it can only be the same; compared all the same, and in constant time.
        if not hmac.compare_digest(key.sha256 if key else "", digest) or key is None:
            raise UnauthorizedError("no such key")
        return self._remember(digest, key)

    def _read_token(self, digest: str, token: str) -> _Known:
        assert self._tokens is not None  # noqa: S101 - asked for where there is one only
        try:
            key = self._tokens.read(token, digest)
        except ValueError as fault:
            raise UnauthorizedError(str(fault)) from fault
        return self._remember(digest, key)

    def _remember(self, digest: str, key: Key) -> _Known:
        until = time.monotonic() + BELIEVED_S
        tenant = self._keys.tenant(key.tenant)
        if tenant is None:
            raise UnauthorizedError(f"no tenant {key.tenant}", key_id(digest))
        known = _Known(until, key, tenant, self._ledger.spent(tenant.name, month_of(self._now())))
        self._known[digest] = known
        self._known.move_to_end(digest)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return known


def wanted(event: Mapping[str, Any]) -> tuple[Verb | None, str | None]:
    """Return the verb that a request needs, and its model: None where it is about no single one.

    The verb is None for a route that nobody is known to need.
    """
    method, resource = str(event.get("httpMethod", "")), str(event.get("resource", ""))
    parts = [part for part in resource.split("/") if part]
    if (method, resource) == ("GET", "/usage"):
        return "usage", None
    if (method == "POST" and resource in (*_RELAYED, *_GENERATING, _UPLOADS)) or (method, resource) in _JOBS:
        return "infer", None
    if method == "GET" and resource in _READ:
        return "read", None
    if not any(resource == prefix or resource.startswith(f"{prefix}/") for prefix in _PREFIXES):
        return None, None
    if parts[:2] == ["v2", "models"] and len(parts) > 2:
        # A route for a model that a parameter names: its function knows which, and asks the scopes again.
        model = None if parts[2] == "{model}" else parts[2]
        if method == "POST":
            return ("infer" if parts[-1] in _ASKS else None), model
        return ("read" if method == "GET" else None), model
    # The catalogue's: it shows what may be read, and answers what is not there.
    return ("read" if method in ("GET", "POST") else None), None


def _allows(scopes: Scopes, verb: Verb, model: str | None) -> bool:
    return scopes.allow_some(verb) if model is None else scopes.allow(verb, model)


def _credential(event: Mapping[str, Any]) -> str:
    """Return the one credential that the request bears.

    Raises:
        UnauthorizedError: There is none, or there are two that differ.
    """
    found: set[str] = set()
    for name, values in (event.get("multiValueHeaders") or {}).items():
        header = name.lower()
        for value in values or ():
            if header == "x-api-key":
                found.add(value.strip())
            elif header == "authorization":
                scheme, _, token = value.strip().partition(" ")
                found.add(token.strip() if scheme.lower() == "bearer" else "")
    if len(found) != 1:
        raise UnauthorizedError("two credentials" if found else "no credential")
    (credential,) = found
    if not credential or len(credential) > MAX_CHARS:
        raise UnauthorizedError("no credential" if not credential else "a credential that is too long")
    return credential


def _spent(tenant: Tenant, spent: Spent, now: float) -> tuple[str, str]:
    if tenant.budget_nano_usd is not None and spent.nano_usd >= tenant.budget_nano_usd:
        limit, used = tenant.budget_nano_usd / 1e9, spent.nano_usd / 1e9
        return (
            "budget",
            f"the month's budget of {limit:.2f} USD is spent ({used:.2f} USD used); {_until(now)}",
        )
    if tenant.quota is not None and spent.requests >= tenant.quota:
        return "quota", f"the month's quota of {tenant.quota} requests is used up; {_until(now)}"
    return "", ""


def _until(now: float) -> str:
    today = datetime.fromtimestamp(now, UTC)
    year, month = (today.year + 1, 1) if today.month == 12 else (today.year, today.month + 1)
    return f"the next month begins {year:04}-{month:02}-01 UTC"
