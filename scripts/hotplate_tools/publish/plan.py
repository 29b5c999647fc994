"""What publishing would change: the registry is read here, and nothing is written.

The plan lists what is there already too, so that `--dry-run` tells the whole story.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.errors import LengthMismatchError, StoreNotFoundError
from hotplate.limits import MAX_MANIFEST_BYTES
from hotplate.manifest.layout import blob_key, manifest_key, version_of
from hotplate.manifest.schema import encode
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.aliases import MoveAlias, plan_move
from hotplate_tools.publish.sign import WriteSignature, plan_signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.manifest.schema import Manifest
    from hotplate.manifest.signature import Signer
    from hotplate.store.base import Store
    from hotplate_tools.publish.build import LocalFile

__all__ = ["Actions", "UploadBlob", "WriteManifest", "plan_publication"]


@dataclass(frozen=True, slots=True)
class UploadBlob:
    """Put one file's bytes; `exists` says that they are there already."""

    path: str
    key: str
    size: int
    sha256: str
    body: bytes | Path
    exists: bool


@dataclass(frozen=True, slots=True)
class WriteManifest:
    """Put the manifest; `exists` says that the very same is there already."""

    key: str
    body: bytes
    sha256: str
    exists: bool


@dataclass(frozen=True, slots=True)
class Actions:
    """Everything to be done, in this order: a reader never sees a version that is not whole.

    Attributes:
        blobs: One a file; bytes that two files share are put once.
        manifest: The version itself.
        signature: Put before the manifest, so that a version which can be seen has its signature; None
            if it is published unsigned.
        alias: None if the alias points there already, or none is to be moved.
    """

    blobs: tuple[UploadBlob, ...]
    manifest: WriteManifest
    alias: MoveAlias | None
    signature: WriteSignature | None = None

    @property
    def pending(self) -> tuple[UploadBlob | WriteSignature | WriteManifest | MoveAlias, ...]:
        """What is not done yet."""
        steps = (*self.blobs, *((self.signature,) if self.signature else ()), self.manifest)
        return tuple(step for step in steps if not step.exists) + ((self.alias,) if self.alias else ())


def plan_publication(
    manifest: Manifest,
    files: Sequence[LocalFile],
    *,
    store: Store,
    alias: str | None,
    signer: Signer | None = None,
) -> Actions:
    """Return what has to be done for `store` to hold the version and `alias` to point at it.

    Raises:
        RefusedError: The version, or a blob's key, is taken by other bytes; or another key signed it.
        StoreError: The registry cannot be read.
    """
    version, digest = version_of(manifest)
    body = encode(manifest)
    # The alias comes first: reading an object, unlike asking for its size, tells a missing bucket.
    move = plan_move(store, manifest.name, alias, version=version, sha256=digest) if alias else None
    key = manifest_key(manifest.name, version)
    return Actions(
        blobs=_blobs(files, store),
        manifest=WriteManifest(key, body, digest, exists=is_published(store, key, body)),
        alias=move,
        signature=plan_signature(store, manifest.name, version, digest, signer) if signer else None,
    )


def is_published(store: Store, key: str, body: bytes) -> bool:
    """Return whether exactly `body` lies under the manifest key.

    Raises:
        RefusedError: Something else lies there.
    """
    try:
        found = store.get(key, max_bytes=MAX_MANIFEST_BYTES).body
    except StoreNotFoundError:
        return False
    except LengthMismatchError:
        found = b""
    if found != body:
        raise RefusedError(
            f"{key} holds another version: SHA-256 {hashlib.sha256(found).hexdigest()[:12]}…, "
            f"not {hashlib.sha256(body).hexdigest()[:12]}…",
            advice="A version never changes: give this one another number, or none.",
        )
    return True


def _blobs(files: Sequence[LocalFile], store: Store) -> tuple[UploadBlob, ...]:
    blobs: dict[str, UploadBlob] = {}
    for file in files:
        entry, key = file.entry, blob_key(file.entry.sha256)
        size = store.size(key)
        if size not in (None, entry.size):
            raise RefusedError(
                f"{key} is {size} bytes long, {entry.path} is {entry.size}: the registry is damaged",
                advice="Delete that object and publish again.",
            )
        blobs[key] = UploadBlob(entry.path, key, entry.size, entry.sha256, file.body, exists=size is not None)
    return tuple(blobs.values())
