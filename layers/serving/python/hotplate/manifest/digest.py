"""SHA-256 of what is small.

Python's own, as its `random` does it: hashlib loads OpenSSL, which costs a cold start 3 ms. A version's files
are hashed with hashlib, which is faster, by the process that fetches them.
"""

from __future__ import annotations

try:
    from _sha2 import sha256  # type: ignore[import-not-found]
except ImportError:  # a Python that was built without its own hashes
    from hashlib import sha256

__all__ = ["sha256_hex"]


def sha256_hex(body: bytes) -> str:
    """Return the SHA-256 of `body`, 64 hex digits."""
    digest: str = sha256(body).hexdigest()
    return digest
