"""Verified bytes of a version's files, from the cache or the store, hashed while they arrive.

Rules kept:

1. No byte leaves here that was not hashed and found to be what the manifest says.
2. Reads run in parallel; hashing goes through them in order as they come.
3. The cache is a convenience, never trusted: a file found there is hashed again, one that is
   wrong is removed. It is written under another name and renamed, so that two processes sharing
   the folder never see half a file; a full disk only means that nothing is cached.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hotplate.errors import DigestMismatchError, LengthMismatchError
from hotplate.limits import MAX_PARALLEL_RANGES, RANGE_BYTES
from hotplate.manifest.layout import blob_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.manifest.schema import FileEntry
    from hotplate.runtime.ledger import Ledger
    from hotplate.store.base import Reader

__all__ = ["Cache", "fetch_file"]


class Cache:
    """A folder of files named by their digest, shared by the processes of one environment."""

    def __init__(self, folder: Path | None, ledger: Ledger) -> None:
        self._folder = folder
        self._ledger = ledger

    def get(self, sha256: str, size: int) -> memoryview | None:
        """Return the bytes with this digest if they are here and right; a wrong file is removed."""
        if self._folder is None:
            return None
        path = self._folder / sha256
        try:
            if path.stat().st_size == size:
                found = memoryview(path.read_bytes())
                if hashlib.sha256(found).hexdigest() == sha256:
                    return found
            self._ledger.note(f"cached {sha256[:12]} was damaged: removed, fetched again")
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return None
        except OSError as fault:
            self._ledger.note(f"cached {sha256[:12]} could not be read: {fault}")
        return None

    def put(self, sha256: str, body: memoryview) -> None:
        """Keep verified bytes for the next process."""
        if self._folder is None:
            return
        unfinished: Path | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(prefix=f".{sha256[:12]}-", dir=self._folder)
            unfinished = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(body)
            unfinished.replace(self._folder / sha256)
        except OSError as fault:
            self._ledger.note(f"{sha256[:12]} was not cached: {fault}")
            if unfinished:
                unfinished.unlink(missing_ok=True)


def fetch_file(reader: Reader, entry: FileEntry, cache: Cache) -> memoryview:
    """Return the verified bytes of one file.

    Raises:
        DigestMismatchError: The bytes are not those published.
        LengthMismatchError: Their number is not.
        StoreError: They could not be had.
    """
    cached = cache.get(entry.sha256, entry.size)
    if cached is not None:
        return cached
    body = _fetch(reader, entry)
    cache.put(entry.sha256, body)
    return body


def _fetch(reader: Reader, entry: FileEntry) -> memoryview:
    key = blob_key(entry.sha256)
    digest = hashlib.sha256()
    if entry.size == 0:  # no range can name nothing, and a longer object must still be found out
        body = memoryview(reader.read_small(key, max_bytes=0))
    else:
        body = memoryview(np.empty(entry.size, np.uint8)).cast("B")  # not zeroed, on huge pages
        with ThreadPoolExecutor(max_workers=MAX_PARALLEL_RANGES, thread_name_prefix="fetch") as pool:
            for part in _ranges(pool, reader, key, body):
                digest.update(part)
    if len(body) != entry.size:
        raise LengthMismatchError(f"{entry.path}: {len(body)} bytes, {entry.size} were published")
    if digest.hexdigest() != entry.sha256:
        raise DigestMismatchError(
            f"{entry.path}: SHA-256 {digest.hexdigest()[:12]}…, {entry.sha256[:12]}… was published"
        )
    return body.toreadonly()


def _ranges(pool: ThreadPoolExecutor, reader: Reader, key: str, body: memoryview) -> Iterator[memoryview]:
    """Yield the parts of `body` in order, each once it is filled, while later ones still arrive."""
    parts = [(start, body[start : start + RANGE_BYTES]) for start in range(0, len(body), RANGE_BYTES)]
    reads = [
        (part, pool.submit(reader.read_range, key, start=start, into=part, object_bytes=len(body)))
        for start, part in parts
    ]
    try:
        for part, read in reads:
            read.result()
            yield part
    finally:
        for _, read in reads:
            read.cancel()
