"""The manifest that a function pins: read, hashed, its signature verified, and only then parsed.

Steps 1 to 4 of a cold start, the same for graphs and for programs; see `hotplate.runtime.loader`.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hotplate.errors import (
    DigestMismatchError,
    ManifestError,
    SignatureError,
    StoreDeniedError,
    StoreNotFoundError,
)
from hotplate.limits import MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES
from hotplate.manifest.layout import manifest_key, signature_key, version_of
from hotplate.manifest.schema import Manifest, decode
from hotplate.manifest.signature import verify

if TYPE_CHECKING:
    from hotplate.runtime.ledger import Ledger
    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["pinned_manifest"]


def pinned_manifest(settings: Settings, reader: Reader, ledger: Ledger) -> Manifest:
    """Return the manifest that the settings pin.

    Raises:
        StoreError: Bytes could not be had.
        ArtifactError: They are not those pinned, not signed by a trusted key, or not a manifest of this
            model and version.
    """
    if settings.signing_keys:
        # Beside the manifest, because it is a second round trip; the pinned digest is all it needs.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="signature") as pool:
            signed = pool.submit(_check_signature, settings, reader)
            raw = _pinned_bytes(settings, reader)
            signed.result()
    else:
        ledger.note("no signature was verified: HOTPLATE_UNSIGNED allows that")
        raw = _pinned_bytes(settings, reader)
    manifest = decode(raw)
    if (manifest.name, version_of(manifest)[0]) != (settings.model, settings.version):
        raise ManifestError(
            f"the manifest is of {manifest.name} {version_of(manifest)[0]}, "
            f"the function serves {settings.model} {settings.version}"
        )
    return manifest


def _pinned_bytes(settings: Settings, reader: Reader) -> bytes:
    raw = reader.read_small(manifest_key(settings.model, settings.version), max_bytes=MAX_MANIFEST_BYTES)
    digest = hashlib.sha256(raw).hexdigest()
    if digest != settings.manifest_sha256:
        raise DigestMismatchError(
            f"manifest of {settings.model} {settings.version}: SHA-256 {digest[:12]}…, "
            f"the function pins {settings.manifest_sha256[:12]}…"
        )
    return raw


def _check_signature(settings: Settings, reader: Reader) -> None:
    key = signature_key(settings.model, settings.version)
    try:
        raw = reader.read_small(key, max_bytes=MAX_SIGNATURE_BYTES)
    # S3 denies what is not there to those who may not list the bucket, as functions may not.
    except (StoreNotFoundError, StoreDeniedError) as fault:
        raise SignatureError(
            f"{settings.model} {settings.version} has no signature that can be read, "
            f"and only signed versions are trusted here: {fault}"
        ) from fault
    from hotplate.manifest.ed25519 import SodiumVerifier  # costs milliseconds, so only who needs it pays

    verify(raw, settings.manifest_sha256, trusted=settings.signing_keys, verifier=SodiumVerifier())
