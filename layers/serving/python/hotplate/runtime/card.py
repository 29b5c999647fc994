"""The model card of a version: not on the way of a cold start, read when somebody asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate.errors import CardNotFoundError, ManifestError
from hotplate.limits import MAX_CARD_BYTES
from hotplate.runtime.files import Cache, fetch_file
from hotplate.runtime.ledger import Ledger

if TYPE_CHECKING:
    from hotplate.manifest.schema import Manifest
    from hotplate.store.base import Reader

__all__ = ["read_card"]


def read_card(manifest: Manifest, reader: Reader) -> bytes:
    """Return the card's bytes, verified as every file is; they are UTF-8 Markdown.

    Args:
        manifest: Of the version that is served; verified.
        reader: Where the registry lies.

    Raises:
        CardNotFoundError: The version has none.
        ManifestError: It has several, or one longer than `MAX_CARD_BYTES`; nothing was read.
        ArtifactError: The bytes are not those published.
        StoreError: They could not be had.
    """
    if not any(entry.role == "card" for entry in manifest.files):
        raise CardNotFoundError(f"this version of {manifest.name!r} was published without a card")
    entry = manifest.file("card")
    if entry.size > MAX_CARD_BYTES:
        raise ManifestError(f"{entry.path}: {entry.size} bytes, a card has at most {MAX_CARD_BYTES}")
    # Asked for once in the life of a process, so it is not worth a place in the cache of files.
    return bytes(fetch_file(reader, entry, Cache(None, Ledger())))
