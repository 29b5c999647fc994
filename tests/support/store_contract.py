"""What every `Store` does, whatever lies beneath. Subclasses give the fixture `store`."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta
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

    def test_entries_say_size_and_when_it_was_written(self, store: Store) -> None:
        started = datetime.now(UTC) - timedelta(seconds=2)  # S3 tells whole seconds
        store.put_new(BLOB, b"bytes", sha256=sha(b"bytes"))
        store.replace(KEY, b"pointer", etag=None)
        found = list(store.entries(""))
        assert [(each.key, each.size) for each in found] == [(BLOB, 5), (KEY, 7)]
        assert all(started <= each.modified <= datetime.now(UTC) for each in found)
        assert list(store.entries("blobs/")) == found[:1]
        assert list(store.entries("nothing/")) == []

    def test_what_was_listed_is_removed_and_nothing_else(self, store: Store) -> None:
        other = BLOB[:-1] + "b"
        for key in (BLOB, other):
            store.put_new(key, b"bytes", sha256=sha(b"bytes"))
        (listed, _) = store.entries("blobs/")
        store.remove(listed)
        store.remove(listed)
        assert list(store.keys("")) == [other]
        assert store.put_new(BLOB, b"bytes", sha256=sha(b"bytes")) is True

    def test_what_was_renewed_since_it_was_listed_stays(self, store: Store) -> None:
        store.put_new(BLOB, b"bytes", sha256=sha(b"bytes"))
        (listed,) = store.entries(BLOB)
        time.sleep(0.02)  # a file system's clock ticks in milliseconds
        assert store.renew(BLOB, before=datetime.now(UTC) + timedelta(seconds=2)) is True
        store.remove(listed)
        assert store.get(BLOB, max_bytes=5).body == b"bytes"
        (again,) = store.entries(BLOB)
        assert again.modified >= listed.modified
        store.remove(again)
        assert store.size(BLOB) is None

    def test_what_was_written_again_since_it_was_listed_stays(self, store: Store) -> None:
        store.put_new(BLOB, b"bytes", sha256=sha(b"bytes"))
        (listed,) = store.entries(BLOB)
        store.remove(listed)
        time.sleep(0.02)
        store.put_new(BLOB, b"bytes", sha256=sha(b"bytes"))
        store.remove(listed)
        assert store.size(BLOB) == 5

    def test_young_object_is_not_touched_by_a_renewal(self, store: Store) -> None:
        store.put_new(BLOB, b"bytes", sha256=sha(b"bytes"))
        listed = list(store.entries(BLOB))
        assert store.renew(BLOB, before=datetime.now(UTC) - timedelta(hours=1)) is True
        assert list(store.entries(BLOB)) == listed

    def test_nothing_cannot_be_renewed(self, store: Store) -> None:
        assert store.renew(BLOB, before=datetime.now(UTC)) is False
