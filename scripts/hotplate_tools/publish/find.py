"""One version of a registry, found by its name, and its files; nothing is handed out unverified."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.errors import DigestMismatchError, ManifestError, StoreNotFoundError
from hotplate.limits import MAX_MANIFEST_BYTES
from hotplate.manifest.layout import blob_key, manifest_key, version_of
from hotplate.manifest.schema import decode
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.aliases import read_alias

if TYPE_CHECKING:
    from hotplate.manifest.schema import FileEntry, Manifest
    from hotplate.store.base import Store

__all__ = ["Found", "find_version", "read_file"]


@dataclass(frozen=True, slots=True)
class Found:
    """A published version.

    Attributes:
        name, version, manifest: As said.
        raw: The manifest's bytes.
        sha256: Their digest.
    """

    name: str
    version: str
    manifest: Manifest
    raw: bytes
    sha256: str


def find_version(store: Store, name: str, version: str | None = None, *, alias: str = "live") -> Found:
    """Return a version of a model; without `version`, the one that `alias` points at.

    Raises:
        RefusedError: There is no such version or alias.
        DigestMismatchError: The manifest is not the one that the alias pins.
        ManifestError: It is none, or of another model or version.
        StoreError: The registry cannot be read.
    """
    pinned = None
    if version is None:
        pointer = read_alias(store, name, alias)
        if pointer is None:
            raise RefusedError(
                f"{name} has no alias {alias!r}", advice="`hotplate models` lists what there is."
            )
        version, pinned = pointer[0].version, pointer[0].manifest_sha256
    try:
        raw = store.get(manifest_key(name, version), max_bytes=MAX_MANIFEST_BYTES).body
    except StoreNotFoundError as fault:
        raise RefusedError(
            f"{name} has no version {version}", advice="`hotplate models` lists what there is."
        ) from fault
    digest = hashlib.sha256(raw).hexdigest()
    if pinned not in (None, digest):
        raise DigestMismatchError(f"{name} {version}: the manifest is not the one that {alias!r} pins")
    manifest = decode(raw)
    if (manifest.name, version_of(manifest)[0]) != (name, version):
        raise ManifestError(
            f"under {name} {version} lies the manifest of {manifest.name} {version_of(manifest)[0]}"
        )
    return Found(name, version, manifest, raw, digest)


def read_file(store: Store, entry: FileEntry) -> bytes:
    """Return the bytes of one file of a version.

    Raises:
        DigestMismatchError: They are not those published.
        LengthMismatchError: They are more.
        StoreError: They cannot be read.
    """
    body = store.get(blob_key(entry.sha256), max_bytes=entry.size).body
    digest = hashlib.sha256(body).hexdigest()
    if digest != entry.sha256:
        raise DigestMismatchError(
            f"{entry.path}: {len(body)} bytes with SHA-256 {digest[:12]}…, "
            f"{entry.size} with {entry.sha256[:12]}… were published"
        )
    return body
