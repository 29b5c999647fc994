"""The store interfaces: a reader for serving, a store for publishing.

Two interfaces because two callers need them: a function reads a handful of objects whose length
it already knows, and must do it fast; the publisher writes, lists and compares.

Every implementation raises only `StoreError`s, whatever lies beneath, and passes
`tests/support/store_contract.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["Entry", "Reader", "Store", "Stored"]


class Stored(NamedTuple):
    """An object as it lies in the store: its bytes and the tag that a conditional write compares."""

    body: bytes
    etag: str


class Entry(NamedTuple):
    """An object as it was listed.

    Attributes:
        key: Where.
        size: Length in bytes.
        modified: When it was written or last renewed; with a time zone.
        state: Tells this object from one written or renewed later; compare, never read.
    """

    key: str
    size: int
    modified: datetime
    state: str


class Reader(Protocol):
    """Reads objects whose size the caller knows or bounds."""

    def read_small(self, key: str, *, max_bytes: int) -> bytes:
        """Return the whole object.

        Raises:
            StoreNotFoundError, StoreDeniedError, StoreUnavailableError: As named.
            LengthMismatchError: It is longer than `max_bytes`; no more than that was read.
        """

    def read_range(self, key: str, *, start: int, into: memoryview, object_bytes: int) -> None:
        """Fill `into` with the bytes from `start` on of an object of `object_bytes` bytes.

        Raises:
            StoreNotFoundError, StoreDeniedError, StoreUnavailableError: As named.
            LengthMismatchError: The object is not `object_bytes` long.
        """


class Store(Protocol):
    """Reads and writes a registry. Keys are `hotplate.manifest.layout`'s."""

    def get(self, key: str, *, max_bytes: int) -> Stored:
        """Return an object whole.

        Raises:
            StoreNotFoundError, StoreDeniedError, StoreUnavailableError: As named.
            LengthMismatchError: It is longer than `max_bytes`.
        """

    def size(self, key: str) -> int | None:
        """Return the object's length in bytes, or None if there is none."""

    def put_new(
        self, key: str, body: bytes | Path, *, sha256: str, progress: Callable[[int], None] | None = None
    ) -> bool:
        """Write an object unless one is there; return whether it was written.

        Args:
            key: Where.
            body: The bytes, or the file that holds them.
            sha256: Hex digest that the bytes have; a file that changed since is not written.
            progress: Called with the count of bytes just written, as often as the store can tell.

        Raises:
            DigestMismatchError: `body` has another digest; nothing was written.
        """

    def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
        """Write a small object over the one tagged `etag` (None: over nothing); return the new tag.

        Raises:
            StoreConflictError: Another object, or none, is there; nothing was changed.
        """

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with `prefix`, in order."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield every object whose key starts with `prefix`, in the order of keys."""

    def renew(self, key: str, *, before: datetime) -> bool:
        """Make an object that was written before `before` count as written now; return whether there is one.

        Its bytes stay. What was listed earlier can then no longer be removed by that entry.
        """

    def remove(self, entry: Entry) -> None:
        """Remove the object as it was listed; what was written or renewed since then stays.

        Raises:
            StoreError: The store cannot tell the two apart; nothing was removed.
        """
