import fcntl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hotplate.errors import StoreConflictError, StoreDeniedError, StoreError
from hotplate.store.filesystem import FilesystemStore
from tests.support.store_contract import BLOB, KEY, StoreContract, sha


class TestFilesystemStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FilesystemStore:
        return FilesystemStore(tmp_path / "registry")


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path / "registry")


def race(count: int, run: Callable[[int], bool]) -> list[bool]:
    gate, won = threading.Barrier(count), [False] * count

    def one(index: int) -> None:
        gate.wait()
        won[index] = run(index)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_of_many_writers_of_a_new_key_one_wins(store: FilesystemStore) -> None:
    bodies = [bytes([index]) * 100_000 for index in range(8)]
    won = race(8, lambda index: store.put_new(BLOB, bodies[index], sha256=sha(bodies[index])))
    assert won.count(True) == 1
    assert store.get(BLOB, max_bytes=100_000).body == bodies[won.index(True)]


def test_of_many_movers_of_an_alias_one_wins(store: FilesystemStore) -> None:
    etag = store.replace(KEY, b"start", etag=None)

    def move(index: int) -> bool:
        try:
            store.replace(KEY, b"%d" % index, etag=etag)
        except StoreConflictError:
            return False
        return True

    won = race(8, move)
    assert won.count(True) == 1
    assert store.get(KEY, max_bytes=9).body == b"%d" % won.index(True)


def test_move_waits_for_the_one_before_it_to_end(store: FilesystemStore, tmp_path: Path) -> None:
    etag = store.replace(KEY, b"start", etag=None)
    mover = threading.Thread(target=store.replace, args=(KEY, b"moved"), kwargs={"etag": etag})
    with (tmp_path / "registry/.lock").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        mover.start()
        mover.join(timeout=0.2)
        assert (mover.is_alive(), store.get(KEY, max_bytes=9).body) == (True, b"start")
    mover.join()
    assert store.get(KEY, max_bytes=9).body == b"moved"


def test_write_that_is_killed_leaves_no_object_and_no_key(store: FilesystemStore) -> None:
    def killed(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put_new(BLOB, b"half", sha256=sha(b"half"), progress=killed)
    assert (store.size(BLOB), list(store.keys(""))) == (None, [])


def test_leftovers_of_a_killed_process_are_no_keys(store: FilesystemStore, tmp_path: Path) -> None:
    store.put_new("blobs/x", b"", sha256=sha(b""))
    (tmp_path / "registry/blobs/.partial-abc").write_bytes(b"half")
    assert list(store.keys("")) == ["blobs/x"]


@pytest.mark.parametrize(
    "key", ["../x", "/etc/passwd", "a/../../x", "a//b", "", ".lock", "a/.partial-x", "a\\b"]
)
def test_key_that_could_leave_the_folder_is_refused(store: FilesystemStore, key: str) -> None:
    with pytest.raises(StoreDeniedError):
        store.get(key, max_bytes=1)
    with pytest.raises(StoreDeniedError):
        store.put_new(key, b"", sha256=sha(b""))


def test_folder_where_an_object_is_expected_is_a_store_error(store: FilesystemStore) -> None:
    store.put_new("a/b", b"", sha256=sha(b""))
    with pytest.raises(StoreError):
        store.get("a", max_bytes=1)
    with pytest.raises(StoreError):
        store.put_new("a/b/c", b"", sha256=sha(b""))


def test_looking_makes_no_folder(store: FilesystemStore, tmp_path: Path) -> None:
    assert (store.size(BLOB), list(store.keys(""))) == (None, [])
    assert not (tmp_path / "registry").exists()
