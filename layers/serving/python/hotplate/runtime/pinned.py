"""The manifest that a deployment pins: read, compared with the pin, its signature checked, then parsed.

The first four links of the chain in `hotplate.runtime.loader`. Nothing heavy is imported here, because
this runs beside the imports (`hotplate.runtime.ahead`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate.errors import (
    DigestMismatchError,
    ManifestError,
    SignatureError,
    StoreDeniedError,
    StoreNotFoundError,
)
from hotplate.limits import MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES
from hotplate.manifest.digest import sha256_hex
from hotplate.manifest.layout import manifest_key, signature_key, version_of
from hotplate.manifest.schema import Manifest, decode
from hotplate.manifest.signature import verify
from hotplate.runtime.crew import beside

if TYPE_CHECKING:
    from hotplate.runtime.ledger import Ledger
    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["check_pin", "pinned_manifest"]


def pinned_manifest(settings: Settings, reader: Reader, ledger: Ledger) -> tuple[Manifest, bytes]:
    """Return the manifest that the settings pin, and its bytes.

    Raises:
        StoreError: Bytes could not be had.
        ArtifactError: They are not those pinned, nobody who is trusted signed them, or they are no
            manifest of this model and version.
    """
    if settings.signing_keys:
        # Read beside the manifest, because it is a second round trip; the pinned digest is all it needs.
        with beside(lambda: _check_signature(settings, reader)):
            raw = _pinned_bytes(settings, reader)
    else:
        ledger.note("no signature was verified: HOTPLATE_UNSIGNED allows that")
        raw = _pinned_bytes(settings, reader)
    return check_pin(raw, settings), raw


def check_pin(raw: bytes, settings: Settings) -> Manifest:
    """Return the manifest in `raw`, which must be of the digest, model and version that the settings pin.

    Raises:
        DigestMismatchError, ManifestError: It is not.
    """
    _refuse_other(raw, settings)
    manifest = decode(raw)
    version = manifest.version or version_of(manifest)[0]
    if (manifest.name, version) != (settings.model, settings.version):
        raise ManifestError(
            f"the manifest is of {manifest.name} {version}, "
            f"the function serves {settings.model} {settings.version}"
        )
    return manifest


def _pinned_bytes(settings: Settings, reader: Reader) -> bytes:
    raw = reader.read_small(manifest_key(settings.model, settings.version), max_bytes=MAX_MANIFEST_BYTES)
    _refuse_other(raw, settings)
    return raw


def _refuse_other(raw: bytes, settings: Settings) -> None:
    digest = sha256_hex(raw)
    if digest != settings.manifest_sha256:
        raise DigestMismatchError(
            f"manifest of {settings.model} {settings.version}: SHA-256 {digest[:12]}..., "
            f"the function pins {settings.manifest_sha256[:12]}..."
        )


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
