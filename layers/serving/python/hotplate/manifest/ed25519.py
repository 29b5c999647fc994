"""The serving path's verifier: libsodium's Ed25519, through PyNaCl.

Imported only when there is a signature to verify. `nacl.bindings` and not `nacl.signing`, which
imports more and does the same; the measurements are in docs/adr/0006-signed-manifests.md.

libsodium refuses what RFC 8032 refuses, and keys and nonces of small order besides.
"""

from __future__ import annotations

from nacl.bindings import crypto_sign_BYTES, crypto_sign_open, crypto_sign_PUBLICKEYBYTES
from nacl.exceptions import BadSignatureError

__all__ = ["SodiumVerifier"]


class SodiumVerifier:
    """The `Verifier` of functions and of `hotplate verify`."""

    def is_valid(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the holder of `public_key` signed `message`. See `Verifier.is_valid`."""
        # The binding takes signature and message in one: a length that is not exact would move the seam.
        if len(public_key) != crypto_sign_PUBLICKEYBYTES or len(signature) != crypto_sign_BYTES:
            return False
        try:
            crypto_sign_open(signature + message, public_key)
        except BadSignatureError:
            return False
        return True
