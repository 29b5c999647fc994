"""Keys for tests: made from fixed seeds, so that a failure can be had again."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True)
class SeedSigner:
    """A `Signer` whose private key is `seed` thirty-two times."""

    seed: int = 1

    @property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(bytes([self.seed]) * 32)

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    @property
    def pinned(self) -> str:
        """The public key as `HOTPLATE_SIGNING_KEYS` has it."""
        return base64.b64encode(self.public_key).decode()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)
