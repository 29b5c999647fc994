"""API keys: how one is made, what is kept of it, and what it allows.

A key is `hp_` and 43 characters of base64url, 256 random bits. It is shown once. What is kept is its SHA-256:
of so many random bits nothing can be guessed back, so no salt and no slow hash is needed, and a key is found
by the digest of the whole of it. How long a wrong key takes therefore tells nothing about how much of it was
right.

A scope is `VERB:MODEL`. `infer` asks a model, `read` sees that it is there, its metadata and its card,
`usage` sees what the tenant used; `*` is every verb, or every model. Nothing is allowed that no scope allows.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hotplate.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ID_CHARS",
    "TENANT",
    "VERBS",
    "Key",
    "Scopes",
    "Tenant",
    "Verb",
    "digest_of",
    "key_id",
    "new_key",
    "read_scopes",
]

type Verb = Literal["infer", "read", "usage"]

VERBS: tuple[Verb, ...] = ("infer", "read", "usage")
# Of the digest: tells the keys of a stack apart, and is in the log instead of the key.
ID_CHARS = 12
TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_PREFIX = "hp_"
_RANDOM_BYTES = 32
_SCOPE = re.compile(r"(infer|read|usage|\*):(\*|[a-z0-9][a-z0-9._-]{0,62})")


@dataclass(frozen=True, slots=True)
class Scopes:
    """Pairs of verb and model, either of which may be `*`."""

    pairs: frozenset[tuple[str, str]]

    def allow(self, verb: Verb, model: str) -> bool:
        """Return whether `verb` may be done with this very model."""
        return any((v, m) in self.pairs for v in (verb, "*") for m in (model, "*"))

    def allow_some(self, verb: Verb) -> bool:
        """Return whether `verb` may be done with some model."""
        return any(v in (verb, "*") for v, _ in self.pairs)

    def __str__(self) -> str:
        return " ".join(sorted(f"{verb}:{model}" for verb, model in self.pairs))


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key. Times are seconds since 1970.

    Attributes:
        sha256: Of the key, in hex.
        tenant: Whose it is.
        scopes: What it allows.
        created: When it was made.
        expires: From when it is refused; None for never.
        revoked: Since when it is refused; None if it is not revoked.
        note: What its owner called it.
    """

    sha256: str
    tenant: str
    scopes: Scopes
    created: int
    expires: int | None = None
    revoked: int | None = None
    note: str = ""

    @property
    def id(self) -> str:
        """What it is called where the key itself must not be told."""
        return key_id(self.sha256)

    def refused(self, now: float) -> str:
        """Return why it is refused at `now`, "" if it is not. For the owner, never for the caller."""
        if self.revoked is not None and now >= self.revoked:
            return "revoked"
        if self.expires is not None and now >= self.expires:
            return "expired"
        return ""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who pays, and how much may be asked.

    Attributes:
        name: Lower-case letters, digits, `.`, `_` and `-`.
        usage_key: Value of its API key of API Gateway, by which the usage plan counts; never sent by a
        caller. rate, burst: Requests a second, and at once, that its usage plan lets through.
        quota: Requests a month (UTC); None for no end.
        budget_nano_usd: Billionths of a USD a month (UTC); None for no end.
    """

    name: str
    usage_key: str
    rate: float
    burst: int
    quota: int | None = None
    budget_nano_usd: int | None = None


def new_key() -> str:
    """Return a key that nobody has."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key in hex, by which it is kept and found."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def key_id(sha256: str) -> str:
    """Return the id of the key with this digest."""
    return sha256[:ID_CHARS]


def read_scopes(words: Iterable[str]) -> Scopes:
    """Return the scopes `VERB:MODEL`.

    Raises:
        SettingsError: One is none.
    """
    pairs = set()
    for word in words:
        found = _SCOPE.fullmatch(word)
        if found is None:
            raise SettingsError(
                f"scope {word[:80]!r}: expected VERB:MODEL, with VERB {', '.join(VERBS)} or *"
            )
        pairs.add((found[1], found[2]))
    return Scopes(frozenset(pairs))
