"""Blobs that no version refers to: found, and removed once they are old.

Rules kept here:

1. Blobs are listed first and versions read afterwards, so a version published in between is seen.
2. A blob is kept if any version of any model names it, whether an alias points there or not.
3. A young blob is kept: a publish may be under way whose version is not written yet. A publisher
   that finds an old blob it needs renews it (`hotplate_tools.publish.execute`), and a store removes
   only what was listed, not what was renewed since: so the two cannot miss each other.
4. A version that cannot be read may refer to anything: then nothing is removed.

Versions and aliases are never removed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hotplate.errors import ManifestError
from hotplate.limits import MAX_MANIFEST_BYTES
from hotplate.manifest.layout import blob_key
from hotplate.manifest.schema import decode
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.registry import version_keys

if TYPE_CHECKING:
    from hotplate.store.base import Entry, Store
    from hotplate_tools.console import Console

__all__ = ["GRACE", "Garbage", "collect", "find_garbage"]

# How old a blob without a version must be before it is garbage. Ours: longer than a publish that
# failed on a Friday takes to be run again.
GRACE = timedelta(days=7)

_BLOB_KEY = re.compile(r"blobs/sha256/[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Garbage:
    """What lies in a registry.

    Attributes:
        old: Blobs without a version, older than the grace period.
        young: Blobs without a version that are younger.
        kept, kept_bytes: Count and size of the blobs that versions refer to.
    """

    old: tuple[Entry, ...]
    young: tuple[Entry, ...]
    kept: int
    kept_bytes: int


def find_garbage(store: Store, *, grace: timedelta = GRACE, now: datetime | None = None) -> Garbage:
    """Return which blobs of a registry are garbage; writes nothing.

    Args:
        store: The registry.
        grace: As of `GRACE`.
        now: The time; default is this machine's.

    Raises:
        RefusedError: A version cannot be read, so what it refers to is not known.
        StoreError: The registry cannot be read.
    """
    blobs = [entry for entry in store.entries("blobs/") if _BLOB_KEY.match(entry.key)]
    referenced = _referenced(store)
    limit = (now or datetime.now(UTC)) - grace
    loose = [entry for entry in blobs if entry.key not in referenced]
    kept = [entry for entry in blobs if entry.key in referenced]
    return Garbage(
        old=tuple(entry for entry in loose if entry.modified < limit),
        young=tuple(entry for entry in loose if entry.modified >= limit),
        kept=len(kept),
        kept_bytes=sum(entry.size for entry in kept),
    )


def collect(store: Store, garbage: Garbage, *, console: Console) -> None:
    """Remove the old blobs.

    Raises:
        StoreError: The registry cannot be written, or cannot tell what was renewed since.
    """
    with console.transfer("Removing", sum(entry.size for entry in garbage.old)) as progress:
        for entry in garbage.old:
            store.remove(entry)
            progress(entry.size)


def _referenced(store: Store) -> set[str]:
    referenced: set[str] = set()
    for key in version_keys(store):
        try:
            manifest = decode(store.get(key, max_bytes=MAX_MANIFEST_BYTES).body)
        except ManifestError as fault:
            raise RefusedError(
                f"{key} cannot be read, so what it refers to is not known: {fault}",
                advice="Nothing was removed. Use the hotplate that wrote it, or remove that version first.",
            ) from fault
        referenced.update(blob_key(entry.sha256) for entry in manifest.files)
    return referenced
