"""A `Store` in memory, with a place to break it or to let somebody else in."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hotplate.errors import (
    DigestMismatchError,
    LengthMismatchError,
    StoreConflictError,
    StoreNotFoundError,
)
from hotplate.store.base import Entry, Stored

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class KilledError(Exception):
    """Stands for the end of the process: nothing in the code under test may catch it."""


@dataclass
class MemoryStore:
    """Objects in a dict. `before` and `after` see each write (operation, key) and may raise.

    `modified` says when an object was written; what is not in it was written long ago.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    before: Callable[[str, str], None] = lambda operation, key: None
    after: Callable[[str, str], None] = lambda operation, key: None
    writes: list[tuple[str, str]] = field(default_factory=list)
    modified: dict[str, datetime] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str, *, max_bytes: int) -> Stored:
        body = self.objects.get(key)
        if body is None:
            raise StoreNotFoundError(key)
        if len(body) > max_bytes:
            raise LengthMismatchError(key)
        return Stored(body, _tag(body))

    def size(self, key: str) -> int | None:
        body = self.objects.get(key)
        return None if body is None else len(body)

    def put_new(
        self, key: str, body: bytes | Path, *, sha256: str, progress: Callable[[int], None] | None = None
    ) -> bool:
        raw = body.read_bytes() if isinstance(body, Path) else body
        self.before("put_new", key)
        with self.lock:
            if key in self.objects:
                return False
            if _tag(raw) != sha256:
                raise DigestMismatchError(key)
            self.objects[key] = raw
            self.modified[key] = datetime.now(UTC)
            self.writes.append(("put_new", key))
        if progress:
            progress(len(raw))
        self.after("put_new", key)
        return True

    def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
        self.before("replace", key)
        with self.lock:
            current = self.objects.get(key)
            if (None if current is None else _tag(current)) != etag:
                raise StoreConflictError(key)
            self.objects[key] = body
            self.modified[key] = datetime.now(UTC)
            self.writes.append(("replace", key))
        self.after("replace", key)
        return _tag(body)

    def keys(self, prefix: str) -> Iterator[str]:
        yield from sorted(key for key in self.objects if key.startswith(prefix))

    def entries(self, prefix: str) -> Iterator[Entry]:
        for key in self.keys(prefix):
            modified = self.modified.get(key, LONG_AGO)
            yield Entry(key, len(self.objects[key]), modified, modified.isoformat())

    def renew(self, key: str, *, before: datetime) -> bool:
        self.before("renew", key)
        with self.lock:
            if key not in self.objects:
                return False
            if self.modified.get(key, LONG_AGO) < before:
                self.modified[key] = datetime.now(UTC)
        return True

    def remove(self, entry: Entry) -> None:
        self.before("remove", entry.key)
        with self.lock:
            if entry in self.entries(entry.key):
                del self.objects[entry.key]
                self.writes.append(("remove", entry.key))


def _tag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
