import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hotplate.errors import (
    DigestMismatchError,
    StoreConflictError,
    StoreNotFoundError,
    StoreUnavailableError,
)
from hotplate.manifest.layout import (
    HISTORY_MOVES,
    alias_key,
    blob_key,
    decode_alias,
    manifest_key,
    version_of,
)
from hotplate.manifest.schema import FileEntry, Manifest, decode, encode
from hotplate.protocol.types import MetadataTensor
from hotplate_tools.console import Console
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.publish.aliases import MAX_ALIAS_BYTES, MoveAlias, promote, read_alias, rollback
from hotplate_tools.publish.build import LocalFile
from hotplate_tools.publish.execute import execute
from hotplate_tools.publish.plan import Actions, UploadBlob, WriteManifest, plan_publication
from tests.support.memory_store import KilledError, MemoryStore

CONSOLE = Console(as_json=True)
LIVE = alias_key("m", "live")


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@dataclass(frozen=True)
class Version:
    """A version of model `m` made of two files."""

    manifest: Manifest
    files: tuple[LocalFile, ...]

    @property
    def label(self) -> str:
        return version_of(self.manifest)[0]


def version(graph: bytes, number: str | None = None, card: bytes = b"card") -> Version:
    files = (
        LocalFile(FileEntry("card.md", "card", len(card), sha(card)), card),
        LocalFile(FileEntry("model.onnx", "graph", len(graph), sha(graph)), graph),
    )
    tensor = MetadataTensor("x", "FP32", (-1,))
    return Version(Manifest(1, "m", (tensor,), (tensor,), tuple(file.entry for file in files), number), files)


def plan(store: MemoryStore, which: Version, alias: str | None = "live") -> Actions:
    return plan_publication(which.manifest, which.files, store=store, alias=alias)


def publish(store: MemoryStore, which: Version, alias: str | None = "live") -> Actions:
    actions = plan(store, which, alias)
    execute(actions, store=store, console=CONSOLE)
    return actions


def live(store: MemoryStore) -> str | None:
    found = read_alias(store, "m", "live")
    return found[0].version if found else None


def assert_whole(store: MemoryStore) -> None:
    """A reader that starts from any alias or version finds every byte, and the right ones."""
    for key in store.keys("models/"):
        if "/aliases/" in key:
            pointer = decode_alias(store.objects[key])
            raw = store.objects[manifest_key("m", pointer.version)]
            assert sha(raw) == pointer.manifest_sha256
        else:
            for entry in decode(store.objects[key]).files:
                assert sha(store.objects[blob_key(entry.sha256)]) == entry.sha256


def test_first_plan_is_everything() -> None:
    which = version(b"graph")
    label, digest = version_of(which.manifest)
    assert plan(MemoryStore(), which) == Actions(
        blobs=(
            UploadBlob("card.md", blob_key(sha(b"card")), 4, sha(b"card"), b"card", exists=False),
            UploadBlob("model.onnx", blob_key(sha(b"graph")), 5, sha(b"graph"), b"graph", exists=False),
        ),
        manifest=WriteManifest(manifest_key("m", label), encode(which.manifest), digest, exists=False),
        alias=MoveAlias("m", "live", None, label, digest, None),
    )


def test_planning_writes_nothing() -> None:
    store = MemoryStore()
    plan(store, version(b"graph"))
    assert (store.objects, store.writes) == ({}, [])


def test_blobs_come_before_the_manifest_and_the_alias_comes_last() -> None:
    store, which = MemoryStore(), version(b"graph")
    publish(store, which)
    assert store.writes == [
        ("put_new", blob_key(sha(b"card"))),
        ("put_new", blob_key(sha(b"graph"))),
        ("put_new", manifest_key("m", which.label)),
        ("replace", LIVE),
    ]


def test_publishing_again_writes_nothing() -> None:
    store, which = MemoryStore(), version(b"graph")
    publish(store, which)
    store.writes.clear()
    assert publish(store, which).pending == ()
    assert store.writes == []


def test_second_version_puts_only_what_is_new_and_remembers_the_first() -> None:
    store, first, second = MemoryStore(), version(b"one"), version(b"two")
    publish(store, first)
    store.writes.clear()
    publish(store, second)
    assert [key for _, key in store.writes] == [
        blob_key(sha(b"two")),
        manifest_key("m", second.label),
        LIVE,
    ]
    pointer = decode_alias(store.objects[LIVE])
    assert (pointer.version, pointer.previous) == (second.label, first.label)


def test_bytes_that_two_files_share_are_put_once() -> None:
    store = MemoryStore()
    publish(store, version(b"same", card=b"same"))
    assert [key for _, key in store.writes].count(blob_key(sha(b"same"))) == 1
    assert_whole(store)


def test_no_alias_is_moved_where_none_is_named() -> None:
    store = MemoryStore()
    publish(store, version(b"graph"), alias=None)
    assert list(store.keys("models/m/aliases/")) == []


def test_version_taken_by_other_bytes_is_refused_before_anything_is_written() -> None:
    store = MemoryStore()
    publish(store, version(b"one", "1.2.3"))
    store.writes.clear()
    with pytest.raises(RefusedError, match=r"1\.2\.3"):
        publish(store, version(b"two", "1.2.3"))
    assert store.writes == []


def test_version_taken_meanwhile_by_other_bytes_is_refused_and_no_alias_moves() -> None:
    store, mine, theirs = MemoryStore(), version(b"mine", "1.2.3"), version(b"theirs", "1.2.3")
    actions = plan(store, mine)
    publish(store, theirs, alias=None)
    with pytest.raises(RefusedError):
        execute(actions, store=store, console=CONSOLE)
    assert live(store) is None
    assert_whole(store)


def test_version_written_meanwhile_by_the_same_bytes_is_fine() -> None:
    store, which = MemoryStore(), version(b"graph")
    actions = plan(store, which)
    publish(store, which)
    execute(actions, store=store, console=CONSOLE)
    assert live(store) == which.label


def test_damaged_blob_is_refused() -> None:
    store = MemoryStore({blob_key(sha(b"graph")): b"gra"})
    with pytest.raises(RefusedError, match="damaged"):
        plan(store, version(b"graph"))


def test_file_that_changes_between_plan_and_upload_is_not_published(tmp_path: Path) -> None:
    store, which = MemoryStore(), version(b"graph")
    file = tmp_path / "model.onnx"
    file.write_bytes(b"graph")
    files = (which.files[0], LocalFile(which.files[1].entry, file))
    actions = plan_publication(which.manifest, files, store=store, alias="live")
    file.write_bytes(b"GRAPH")
    with pytest.raises(DigestMismatchError):
        execute(actions, store=store, console=CONSOLE)
    assert (live(store), list(store.keys("models/"))) == (None, [])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(4))
def test_killed_anywhere_a_reader_sees_whole_versions_and_the_next_run_completes(
    step: int, when: str
) -> None:
    store, first, second = MemoryStore(), version(b"one", card=b"old"), version(b"two")
    publish(store, first)
    calls = iter(range(99))

    def kill(operation: str, key: str) -> None:
        if next(calls) == step:
            raise KilledError(key)

    setattr(store, when, kill)
    with pytest.raises(KilledError):
        publish(store, second)
    assert_whole(store)
    assert live(store) == (second.label if (step, when) == (3, "after") else first.label)
    setattr(store, when, lambda operation, key: None)
    publish(store, second)
    assert_whole(store)
    assert live(store) == second.label


def test_store_that_fails_is_not_hidden() -> None:
    def down(operation: str, key: str) -> None:
        raise StoreUnavailableError(key)

    with pytest.raises(StoreUnavailableError):
        publish(MemoryStore(before=down), version(b"graph"))


def test_loser_of_a_race_is_told_who_won_and_how_to_go_on() -> None:
    store, mine, theirs = MemoryStore(), version(b"mine"), version(b"theirs")

    def somebody_first(operation: str, key: str) -> None:
        if key == LIVE:
            store.before = lambda operation, key: None
            publish(store, theirs)

    store.before = somebody_first
    with pytest.raises(FailedError) as caught:
        publish(store, mine)
    assert theirs.label in str(caught.value)
    assert f"hotplate promote m {mine.label} --alias live" in caught.value.advice
    assert caught.value.exit_code == 1
    assert live(store) == theirs.label
    assert manifest_key("m", mine.label) in store.objects


def test_race_won_by_the_same_version_is_no_failure() -> None:
    store, mine = MemoryStore(), version(b"mine")

    def somebody_first(operation: str, key: str) -> None:
        if key == LIVE:
            store.before = lambda operation, key: None
            publish(store, mine)

    store.before = somebody_first
    publish(store, mine)
    assert live(store) == mine.label


def test_of_many_publishers_at_once_every_version_is_whole_and_every_loser_knows() -> None:
    store, outcomes = MemoryStore(), dict[str, str]()
    versions = [version(b"graph %d" % index) for index in range(8)]
    gate = threading.Barrier(len(versions))

    def one(which: Version) -> None:
        actions = plan(store, which)
        gate.wait()
        try:
            execute(actions, store=store, console=CONSOLE)
            outcomes[which.label] = "won"
        except FailedError as fault:
            outcomes[which.label] = str(fault)

    threads = [threading.Thread(target=one, args=(which,)) for which in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = live(store)
    assert [label for label, outcome in outcomes.items() if outcome == "won"] == [winner]
    assert all(f"to {winner} by" in outcome for outcome in outcomes.values() if outcome != "won")
    assert len(list(store.keys("models/m/versions/"))) == len(outcomes) == 8
    assert_whole(store)


def test_promote_points_to_a_version_and_twice_changes_nothing() -> None:
    store, first, second = MemoryStore(), version(b"one"), version(b"two")
    publish(store, first)
    publish(store, second, alias=None)
    move = promote(store, "m", second.label, "live").move
    assert move is not None
    assert (move.from_version, move.to_version) == (first.label, second.label)
    again = promote(store, "m", second.label, "live")
    assert (again.move, again.pointer.moves) == (None, 2)
    assert_whole(store)


def test_promote_to_a_version_that_is_not_there_is_refused() -> None:
    with pytest.raises(RefusedError, match="no version 9"):
        promote(MemoryStore(), "m", "9", "live")


def test_promote_trusts_only_a_manifest_of_that_version() -> None:
    from hotplate.errors import ManifestError

    store, which = MemoryStore(), version(b"one")
    publish(store, which)
    store.objects[manifest_key("m", "swapped")] = store.objects[manifest_key("m", which.label)]
    with pytest.raises(ManifestError):
        promote(store, "m", "swapped", "live")


def test_history_is_in_the_alias_newest_first_and_bounded() -> None:
    store, first, second = MemoryStore(), version(b"one"), version(b"two")
    publish(store, first)
    publish(store, second)
    for _ in range(HISTORY_MOVES):
        rollback(store, "m", "live")
    pointer = decode_alias(store.objects[LIVE])
    assert (pointer.moves, len(pointer.history)) == (HISTORY_MOVES + 2, HISTORY_MOVES)
    assert [each.version for each in pointer.history] == [first.label, second.label] * (HISTORY_MOVES // 2)
    assert pointer.previous == pointer.history[0].version


def test_alias_with_the_longest_names_and_a_full_history_can_be_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "é" * 5000)
    store, long = MemoryStore(), "1.0.0-" + "x" * 57
    publish(store, version(b"one", long))
    publish(store, version(b"two", long[:-1] + "y"))
    for _ in range(HISTORY_MOVES):
        rollback(store, "m", "live")
    assert len(store.objects[LIVE]) < MAX_ALIAS_BYTES
    assert live(store) == long[:-1] + "y"


def test_rollback_goes_back_and_a_second_one_goes_forth() -> None:
    store, first, second = MemoryStore(), version(b"one"), version(b"two")
    publish(store, first)
    publish(store, second)
    assert rollback(store, "m", "live").to_version == first.label
    assert live(store) == first.label
    assert rollback(store, "m", "live").to_version == second.label
    assert_whole(store)


def test_rollback_needs_a_version_before() -> None:
    store = MemoryStore()
    with pytest.raises(RefusedError, match="no alias"):
        rollback(store, "m", "live")
    publish(store, version(b"one"))
    with pytest.raises(RefusedError, match="never pointed"):
        rollback(store, "m", "live")


def test_rollback_to_a_version_that_is_gone_is_refused() -> None:
    store, first = MemoryStore(), version(b"one")
    publish(store, first)
    publish(store, version(b"two"))
    del store.objects[manifest_key("m", first.label)]
    with pytest.raises(RefusedError, match="no version"):
        rollback(store, "m", "live")


def test_rollback_loses_a_race_loudly() -> None:
    store: Any = MemoryStore()
    publish(store, version(b"one"))
    publish(store, version(b"two"))

    def somebody_first(operation: str, key: str) -> None:
        store.before = lambda operation, key: None
        publish(store, version(b"three"))

    store.before = somebody_first
    with pytest.raises(FailedError):
        rollback(store, "m", "live")
    assert live(store) == version(b"three").label


def test_alias_that_vanishes_during_a_move_is_reported() -> None:
    class Vanishing(MemoryStore):
        def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
            self.objects.pop(key, None)
            raise StoreConflictError(key)

    store = Vanishing()
    with pytest.raises(FailedError, match="to nothing"):
        publish(store, version(b"one"))
    with pytest.raises(StoreNotFoundError):
        store.get(LIVE, max_bytes=1)
