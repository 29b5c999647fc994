"""Does what was planned, in the order that keeps readers safe: blobs, signature, manifest, alias.

Each step is a conditional write of bytes that are known beforehand, so doing it twice, or after a
kill, or beside another publisher, ends in the same registry. A blob that is there already, but for
no version that this publisher knows of, is renewed: `hotplate models gc` then leaves it alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hotplate_tools.publish.aliases import move_alias
from hotplate_tools.publish.plan import is_published
from hotplate_tools.publish.sign import write_signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.store.base import Store
    from hotplate_tools.console import Console
    from hotplate_tools.publish.plan import Actions, UploadBlob

__all__ = ["RENEW_AFTER", "execute"]

# A blob older than this is renewed when a new version is to refer to it. Half of the shortest grace
# period, so what is not renewed stays out of reach for as long as any publish takes.
RENEW_AFTER = timedelta(hours=12)


def execute(actions: Actions, *, store: Store, console: Console) -> None:
    """Do all that is pending.

    Raises:
        RefusedError: Another publisher took the version for other bytes, or signed it, meanwhile.
        FailedError: Another publisher moved the alias meanwhile.
        DigestMismatchError: A file changed since it was looked at; nothing points at it.
        StoreError: The registry cannot be written.
    """
    manifest = actions.manifest
    # Where the version is there already, its blobs are known to be in use.
    kept = () if manifest.exists else [blob for blob in actions.blobs if blob.exists]
    before = datetime.now(UTC) - RENEW_AFTER
    gone = [blob for blob in kept if not store.renew(blob.key, before=before)]
    missing = [blob for blob in actions.blobs if not blob.exists or blob in gone]
    if missing:
        _upload(missing, store, console)
    if actions.signature and not actions.signature.exists:
        write_signature(store, actions.signature)
    if not manifest.exists and not store.put_new(manifest.key, manifest.body, sha256=manifest.sha256):
        is_published(store, manifest.key, manifest.body)
    if actions.alias:
        move_alias(store, actions.alias)


def _upload(blobs: Sequence[UploadBlob], store: Store, console: Console) -> None:
    with console.transfer("Uploading", sum(blob.size for blob in blobs)) as progress:
        for blob in blobs:
            store.put_new(blob.key, blob.body, sha256=blob.sha256, progress=progress)
