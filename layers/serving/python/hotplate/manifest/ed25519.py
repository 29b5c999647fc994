"""The serving path's verifier: libsodium's Ed25519, through PyNaCl.

Imported only when there is a signature to verify. The extension module itself and not `nacl.bindings`,
which imports twenty modules around it and does the same; the measurements are in
docs/adr/0006-signed-manifests.md.

libsodium refuses what RFC 8032 refuses, and keys and nonces of small order besides.
"""

from __future__ import annotations

from nacl._sodium import ffi, lib

__all__ = ["SodiumVerifier"]


class SodiumVerifier:
    """The `Verifier` of functions and of `hotplate verify`."""

    def __init__(self) -> None:
        """Make libsodium ready.

        Raises:
            RuntimeError: It cannot be.
        """
        if lib.sodium_init() < 0:
            raise RuntimeError("libsodium cannot be initialised")

    def is_valid(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the holder of `public_key` signed `message`. See `Verifier.is_valid`."""
        # The binding takes pointers, and signature and message in one: a length that is not exact would be
        # read past its end, or move the seam.
        if len(public_key) != lib.crypto_sign_publickeybytes() or len(signature) != lib.crypto_sign_bytes():
            return False
        signed = signature + message
        opened, opened_bytes = ffi.new("unsigned char[]", len(signed)), ffi.new("unsigned long long *")
        verdict: int = lib.crypto_sign_open(opened, opened_bytes, signed, len(signed), public_key)
        return verdict == 0
