"""What garbage collection removes, and everything that it must not."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from hotplate.errors import StoreUnavailableError
from hotplate.manifest.layout import blob_key, manifest_key
from hotplate.manifest.schema import FileEntry, Manifest
from hotplate.protocol.types import MetadataTensor
from hotplate_tools.console import Console
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.build import LocalFile
from hotplate_tools.publish.execute import RENEW_AFTER, execute
from hotplate_tools.publish.gc import GRACE, collect, find_garbage
from hotplate_tools.publish.plan import Actions, plan_publication
from tests.support.memory_store import LONG_AGO, MemoryStore
from tests.support.whole_registry import assert_whole

CONSOLE = Console(as_json=True)
NOW = datetime.now(UTC)


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def plan(store: MemoryStore, *bodies: bytes, name: str = "m", alias: str | None = "live") -> Actions:
    """Plan a version whose files are these; the first is the graph."""
    files = tuple(
        LocalFile(FileEntry(f"{index}", "weights" if index else "graph", len(body), sha(body)), body)
        for index, body in enumerate(bodies)
    )
    tensor = MetadataTensor("x", "FP32", (-1,))
    manifest = Manifest(1, name, (tensor,), (tensor,), tuple(file.entry for file in files))
    return plan_publication(manifest, files, store=store, alias=alias)


def publish(store: MemoryStore, *bodies: bytes, name: str = "m", alias: str | None = "live") -> Actions:
    actions = plan(store, *bodies, name=name, alias=alias)
    execute(actions, store=store, console=CONSOLE)
    return actions


def age(store: MemoryStore) -> None:
    """Let everything be old."""
    store.modified = dict.fromkeys(store.objects, LONG_AGO)


def garbage_keys(store: MemoryStore, grace: timedelta = GRACE) -> list[str]:
    return [entry.key for entry in find_garbage(store, grace=grace).old]


def test_old_blob_without_a_version_is_garbage_and_one_of_any_version_is_not() -> None:
    store = MemoryStore({blob_key(sha(b"loose")): b"loose"})
    publish(store, b"graph", b"weights")
    publish(store, b"other", b"weights", name="n", alias=None)  # no alias points there
    age(store)
    found = find_garbage(store)
    assert [entry.key for entry in found.old] == [blob_key(sha(b"loose"))]
    assert (found.kept, found.kept_bytes, found.young) == (3, len(b"graphotherweights"), ())
    collect(store, found, console=CONSOLE)
    assert blob_key(sha(b"loose")) not in store.objects
    assert garbage_keys(store) == []
    assert_whole(store)


def test_grace_period_begins_when_the_blob_was_written() -> None:
    key = blob_key(sha(b"loose"))
    store = MemoryStore({key: b"loose"}, modified={key: NOW - timedelta(days=3)})
    assert garbage_keys(store) == []
    assert [entry.key for entry in find_garbage(store).young] == [key]
    assert garbage_keys(store, grace=timedelta(days=2)) == [key]
    assert timedelta(days=7) == GRACE


def test_finding_writes_nothing() -> None:
    store = MemoryStore({blob_key(sha(b"loose")): b"loose"})
    find_garbage(store)
    assert (store.writes, len(store.objects)) == ([], 1)


def test_what_is_no_blob_is_never_garbage() -> None:
    keys = ["blobs/readme.txt", "blobs/sha256/abc", "blobs/sha512/" + "a" * 64, "models/m/notes.txt"]
    assert garbage_keys(MemoryStore(dict.fromkeys(keys, b""))) == []


def test_version_that_cannot_be_read_keeps_everything() -> None:
    store = MemoryStore({blob_key(sha(b"loose")): b"loose", manifest_key("m", "1.0.0"): b'{"format": 99}'})
    with pytest.raises(RefusedError, match=r"models/m/versions/1\.0\.0/manifest\.json"):
        find_garbage(store)


def test_publish_under_way_loses_nothing_to_a_collection() -> None:
    store = MemoryStore()

    def collect_now(operation: str, key: str) -> None:
        if operation == "put_new" and "/versions/" in key:
            collect(store, find_garbage(store), console=CONSOLE)

    store.before = collect_now
    publish(store, b"graph", b"weights")
    assert_whole(store)


@pytest.mark.parametrize("when", ["before the renewal", "after the renewal"])
def test_old_blob_that_a_publish_needs_again_survives_a_collection(when: str) -> None:
    """The blob is there, old and without a version: left by a publisher killed long ago."""
    store = MemoryStore({blob_key(sha(b"weights")): b"weights"})
    listed = find_garbage(store)
    assert len(listed.old) == 1

    def collect_now(operation: str, key: str) -> None:
        if (operation == "renew") if when.startswith("before") else ("/versions/" in key):
            store.before = lambda operation, key: None
            collect(store, listed, console=CONSOLE)

    actions = plan(store, b"graph", b"weights")
    assert [blob.exists for blob in actions.blobs] == [False, True]
    store.before = collect_now
    execute(actions, store=store, console=CONSOLE)
    assert_whole(store)


def test_version_published_while_a_collection_reads_is_seen() -> None:
    store = MemoryStore({blob_key(sha(b"weights")): b"weights"})
    entries = store.entries

    def publish_then_list(prefix: str) -> object:
        found = list(entries(prefix))
        publish(store, b"graph", b"weights")
        return iter(found)

    store.entries = publish_then_list  # type: ignore[method-assign, assignment]
    assert garbage_keys(store) == []


def test_only_what_is_old_and_for_a_new_version_is_renewed() -> None:
    renewed: list[str] = []
    store = MemoryStore()
    publish(store, b"graph", b"weights")
    store.before = lambda operation, key: renewed.append(key) if operation == "renew" else None
    publish(store, b"graph", b"weights")
    assert renewed == []
    publish(store, b"graph 2", b"weights")
    assert renewed == [blob_key(sha(b"weights"))]
    assert NOW - store.modified[renewed[0]] < RENEW_AFTER


def test_store_that_fails_is_not_hidden() -> None:
    store = MemoryStore({blob_key(sha(b"loose")): b"loose"})

    def down(operation: str, key: str) -> None:
        raise StoreUnavailableError(key)

    store.before = down
    with pytest.raises(StoreUnavailableError):
        collect(store, find_garbage(store), console=CONSOLE)
