"""What every `Store` does, whatever lies beneath. Subclasses give the fixture `store`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hotplate.errors import (
    DigestMismatchError,
    LengthMismatchError,
    StoreConflictError,
    StoreNotFoundError,
)

if TYPE_CHECKING:
    from hotplate.store.base import Store

KEY = "models/digits/aliases/live.json"
BLOB = "blobs/sha256/" + "a" * 64


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class StoreContract:
    def test_what_was_put_is_what_is_got(self, store: Store) -> None:
        assert store.put_new(BLOB, b"bytes", sha256=sha(b"bytes")) is True
        assert store.get(BLOB, max_bytes=5).body == b"bytes"

    def test_file_is_put_and_its_bytes_are_reported(self, store: Store, tmp_path: Path) -> None:
        file = tmp_path / "weights"
        file.write_bytes(b"x" * 1000)
        seen: list[int] = []
        assert store.put_new(BLOB, file, sha256=sha(b"x" * 1000), progress=seen.append) is True
        assert (store.size(BLOB), sum(seen)) == (1000, 1000)

    def test_empty_object_is_an_object(self, store: Store) -> None:
        assert store.put_new(BLOB, b"", sha256=sha(b"")) is True
        assert (store.size(BLOB), store.get(BLOB, max_bytes=0).body) == (0, b"")

    def test_put_new_leaves_what_is_there(self, store: Store) -> None:
        store.put_new(BLOB, b"first", sha256=sha(b"first"))
        assert store.put_new(BLOB, b"second", sha256=sha(b"second")) is False
        assert store.get(BLOB, max_bytes=100).body == b"first"

    def test_bytes_with_another_digest_are_not_written(self, store: Store, tmp_path: Path) -> None:
        file = tmp_path / "changed"
        file.write_bytes(b"changed since it was hashed")
        for body in (b"changed since it was hashed", file):
            with pytest.raises(DigestMismatchError):
                store.put_new(BLOB, body, sha256=sha(b"what was hashed"))
        assert store.size(BLOB) is None
        assert list(store.keys("")) == []

    def test_missing_object_has_no_size_and_cannot_be_got(self, store: Store) -> None:
        assert store.size(BLOB) is None
        with pytest.raises(StoreNotFoundError):
            store.get(BLOB, max_bytes=1)

    def test_object_longer_than_the_cap_is_refused(self, store: Store) -> None:
        store.put_new(BLOB, b"123456", sha256=sha(b"123456"))
        with pytest.raises(LengthMismatchError):
            store.get(BLOB, max_bytes=5)

    def test_replace_over_nothing_then_over_its_own_tag(self, store: Store) -> None:
        first = store.replace(KEY, b"one", etag=None)
        second = store.replace(KEY, b"two", etag=first)
        assert store.get(KEY, max_bytes=9) == (b"two", second)
        assert first != second

    @pytest.mark.parametrize("etag", [None, '"stale"'], ids=["over nothing", "over another tag"])
    def test_replace_of_something_else_is_a_conflict(self, store: Store, etag: str | None) -> None:
        store.replace(KEY, b"theirs", etag=None)
        with pytest.raises(StoreConflictError):
            store.replace(KEY, b"mine", etag=etag)
        assert store.get(KEY, max_bytes=9).body == b"theirs"

    def test_replace_of_an_object_that_is_gone_is_a_conflict(self, store: Store) -> None:
        with pytest.raises(StoreConflictError):
            store.replace(KEY, b"mine", etag='"0123"')
        assert store.size(KEY) is None

    def test_keys_are_those_of_the_prefix_in_order(self, store: Store) -> None:
        names = ["models/b/x", "models/a-b/y", "models/a/z", "models/a.b/y", "blobs/q", "models/a/y"]
        for name in names:
            store.put_new(name, b"", sha256=sha(b""))
        assert list(store.keys("models/a")) == ["models/a-b/y", "models/a.b/y", "models/a/y", "models/a/z"]
        assert list(store.keys("models/c")) == []
