"""Verified bytes: from the store in ranges, from the cache, and never from either unchecked."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from hotplate.errors import DigestMismatchError, LengthMismatchError, StoreUnavailableError
from hotplate.limits import RANGE_BYTES
from hotplate.manifest.layout import blob_key
from hotplate.manifest.schema import FileEntry
from hotplate.runtime.files import Cache, fetch_file
from hotplate.runtime.ledger import Ledger
from tests.support.published import MemoryReader

BODY = bytes(range(251)) * 80_000  # 20 MB: three ranges, the last one short
SHA = hashlib.sha256(BODY).hexdigest()
ENTRY = FileEntry("model.onnx", "graph", len(BODY), SHA)


def store(body: bytes = BODY) -> MemoryReader:
    return MemoryReader({blob_key(SHA): body})


def nowhere() -> Cache:
    return Cache(None, Ledger())


def test_file_is_read_in_ranges() -> None:
    reader = store()
    assert fetch_file(reader, ENTRY, nowhere()) == BODY
    assert len(reader.reads) == -(-len(BODY) // RANGE_BYTES) == 3


def test_bytes_cannot_be_changed_by_who_gets_them() -> None:
    assert fetch_file(store(), ENTRY, nowhere()).readonly


@pytest.mark.parametrize("at", [0, RANGE_BYTES, len(BODY) - 1], ids=["first", "at-a-border", "last"])
def test_one_altered_byte_is_found(at: int) -> None:
    altered = bytearray(BODY)
    altered[at] ^= 1
    with pytest.raises(DigestMismatchError):
        fetch_file(store(bytes(altered)), ENTRY, nowhere())


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"x"], ids=["shorter", "longer"])
def test_another_length_is_found(body: bytes) -> None:
    with pytest.raises(LengthMismatchError):
        fetch_file(store(body), ENTRY, nowhere())


def test_a_fault_in_any_range_is_raised() -> None:
    reader = store()
    reader.faults[blob_key(SHA)] = [StoreUnavailableError("gone")]
    with pytest.raises(StoreUnavailableError, match="gone"):
        fetch_file(reader, ENTRY, nowhere())


@pytest.mark.parametrize(("body", "fine"), [(b"", True), (b"x", False)], ids=["empty", "longer"])
def test_file_of_no_bytes(body: bytes, fine: bool) -> None:
    sha256 = hashlib.sha256(b"").hexdigest()
    reader = MemoryReader({blob_key(sha256): body})
    entry = FileEntry("empty", "asset", 0, sha256)
    if fine:
        assert len(fetch_file(reader, entry, nowhere())) == 0
    else:
        with pytest.raises(LengthMismatchError):
            fetch_file(reader, entry, nowhere())


def test_second_process_reads_the_cache(tmp_path: Path) -> None:
    fetch_file(store(), ENTRY, Cache(tmp_path, Ledger()))
    second = store()
    assert fetch_file(second, ENTRY, Cache(tmp_path, Ledger())) == BODY
    assert second.reads == []
    assert [path.name for path in tmp_path.iterdir()] == [SHA]


@pytest.mark.parametrize("damage", [BODY[:-1] + b"x", BODY[:-1], b""], ids=["altered", "cut", "empty"])
def test_damaged_cache_is_found_noted_and_mended(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / SHA).write_bytes(damage)
    ledger = Ledger()
    reader = store()
    assert fetch_file(reader, ENTRY, Cache(tmp_path, ledger)) == BODY
    assert "damaged" in ledger.notes[0]
    assert (tmp_path / SHA).read_bytes() == BODY


def test_unverified_bytes_are_not_cached(tmp_path: Path) -> None:
    with pytest.raises(DigestMismatchError):
        fetch_file(store(BODY[:-1] + b"x"), ENTRY, Cache(tmp_path, Ledger()))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_only_means_no_cache() -> None:
    ledger = Ledger()
    # /dev/full takes no byte and cannot hold a folder: any write below it fails with an OSError.
    assert fetch_file(store(), ENTRY, Cache(Path("/dev/full/cache"), ledger)) == BODY
    assert any("was not cached" in note for note in ledger.notes)


def test_processes_sharing_the_cache_never_see_half_a_file(tmp_path: Path) -> None:
    faults: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                assert fetch_file(store(), ENTRY, Cache(tmp_path, Ledger())) == BODY
                (tmp_path / SHA).unlink(missing_ok=True)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_processes_that_begin_together_fetch_once(tmp_path: Path) -> None:
    reader = store()
    begun, held = threading.Barrier(4), threading.Event()
    read_range = reader.read_range

    def slowly(key: str, *, start: int, into: memoryview, object_bytes: int) -> None:
        held.wait(0.2)  # so long that without turns the others would be reading too
        read_range(key, start=start, into=into, object_bytes=object_bytes)

    reader.read_range = slowly  # type: ignore[method-assign]
    bodies: list[bytes] = []

    def work() -> None:
        begun.wait()
        bodies.append(bytes(fetch_file(reader, ENTRY, Cache(tmp_path, Ledger()))))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [BODY] * 4
    assert len(reader.reads) == 3
