"""Tokens of an identity provider (JWT), read as keys: tenant and scopes from their claims.

Only asymmetric signatures count, so nobody who knows the public keys can make a token. The provider's keys
are fetched when the first token comes and kept for `KEYS_S`; a token of a key that is not among them makes
them be fetched again, at most every `PAUSE_S`, so that invented key ids do not become requests to the
provider.

PyJWT and cryptography are imported where a token comes, so that keys alone do not wait for them.

Source: RFC 7519, RFC 8725 (best current practices), RFC 9068 (claims of access tokens).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hotplate.errors import SettingsError
from hotplate.tenants.keys import TENANT, Key, read_scopes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt import PyJWKClient

__all__ = ["TokenReader"]

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
# Seconds that the provider's keys are kept, and that pass between two fetches at the least.
KEYS_S = 300
PAUSE_S = 10.0
# Seconds that the provider's clock may differ, and that it may take to answer.
LEEWAY_S = 30
FETCH_S = 3


@dataclass(slots=True)
class TokenReader:
    """Reads tokens of one issuer for one audience.

    Attributes:
        issuer: `iss` of every token, an https URL.
        audience: What `aud` must name.
        keys_url: Where the issuer's public keys are, as a JWK set.
        tenant_claim: Claim that names the tenant.
        scope_claim: Claim with the scopes, blanks between, or as a list. Words that are no scopes of ours
            are left out: the provider has its own.
    """

    issuer: str
    audience: str
    keys_url: str
    tenant_claim: str = "tenant"
    scope_claim: str = "scope"
    _client: PyJWKClient | None = None
    _keys: dict[str, Any] = field(default_factory=dict)
    _fetched_at: float = float("-inf")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> TokenReader | None:
        """Return a reader as the function's settings say, None if they name no issuer.

        Raises:
            SettingsError: They name an issuer and no audience, or one that is not reached by https.
        """
        issuer = environ.get("HOTPLATE_JWT_ISSUER", "")
        if not issuer:
            return None
        audience = environ.get("HOTPLATE_JWT_AUDIENCE", "")
        url = environ.get("HOTPLATE_JWT_KEYS_URL", "") or f"{issuer.rstrip('/')}/.well-known/jwks.json"
        if not audience:
            raise SettingsError("HOTPLATE_JWT_ISSUER is set, and HOTPLATE_JWT_AUDIENCE is not")
        is_here = url.startswith("http://127.0.0.1:")
        if not (url.startswith("https://") or is_here):
            raise SettingsError(f"HOTPLATE_JWT_KEYS_URL: expected an https address, got {url[:80]!r}")
        tenant = environ.get("HOTPLATE_JWT_TENANT_CLAIM", "") or "tenant"
        return cls(issuer, audience, url, tenant_claim=tenant)

    @staticmethod
    def is_one(credential: str) -> bool:
        """Return whether a credential has the form of a token."""
        return credential.count(".") == 2

    def read(self, token: str, digest: str) -> Key:
        """Return the token as a key that expires with it.

        Raises:
            ValueError: It is not good; the message says why, for the log.
        """
        import jwt

        try:
            name = jwt.get_unverified_header(token).get("kid", "")
            claims = jwt.decode(
                token,
                self._key(str(name)),
                algorithms=ALGORITHMS,
                audience=self.audience,
                issuer=self.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", self.tenant_claim]},
            )
        except jwt.PyJWTError as fault:
            raise ValueError(f"token: {type(fault).__name__}") from fault
        tenant = claims[self.tenant_claim]
        if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
            raise ValueError(f"token: claim {self.tenant_claim} is no tenant's name")
        expires = int(claims["exp"]) + LEEWAY_S
        return Key(digest, tenant, read_scopes(_words(claims.get(self.scope_claim))), 0, expires)

    def _key(self, name: str) -> Any:
        """Return the provider's key of this id.

        Raises:
            jwt.PyJWTError: There is none, or the provider does not answer.
        """
        import jwt

        age = time.monotonic() - self._fetched_at
        if age > KEYS_S or (name not in self._keys and age > PAUSE_S):
            self._fetched_at = time.monotonic()
            client = self._client or jwt.PyJWKClient(self.keys_url, cache_jwk_set=False, timeout=FETCH_S)
            self._client = client
            self._keys = {str(each.key_id): each for each in client.get_signing_keys()}
        if name not in self._keys:
            raise jwt.InvalidKeyError("no such key")
        return self._keys[name]


def _words(claim: Any) -> list[str]:
    """Return the scopes of ours in a claim."""
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    found = []
    for word in words:
        try:
            read_scopes([str(word)])
        except SettingsError:
            continue
        found.append(str(word))
    return found
