"""The model is fetched by a child process beside the imports; without one, by the function itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hotplate.limits import RANGE_BYTES
from hotplate.manifest.layout import blob_key
from hotplate.manifest.schema import FileEntry
from tests.support.cold_process import cold_process
from tests.support.faulty_s3 import Fault, FaultyS3, faulty_s3
from tests.support.published import Published, affine_graph, published, published_program, republished

BESIDE = ["runtime", "imports", "wait", "session"]
HERE = ["runtime", "imports", "manifest", "fetch", "session"]


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with faulty_s3() as server:
        yield server


def answered(said: dict[str, Any]) -> list[float]:
    assert said["answer"]["statusCode"] == 200, said["answer"]
    data: list[float] = json.loads(said["answer"]["body"])["outputs"][0]["data"]
    return data


def test_child_fetches_and_the_function_answers(s3: FaultyS3) -> None:
    version = published()
    said, (cold, _) = cold_process(s3, version)
    assert answered(said) == [2, 4, 6]
    assert list(cold["phases_ms"]) == BESIDE
    assert set(cold["beside_ms"]) == {"manifest", "fetch"}
    assert cold["notes"] == []
    # Once each: nothing is read again by the parent.
    assert sorted(key for key, _ in s3.requests) == sorted(
        [version.graph_key, version.manifest_key, version.signature_key]
    )


def test_function_itself_imports_no_http_client_and_no_verifier(s3: FaultyS3) -> None:
    said, _ = cold_process(s3, published())
    assert {"http.client", "ssl", "nacl", "concurrent.futures", "email"} & set(said["modules"]) == set()


@pytest.mark.parametrize(
    "before",
    [
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import os; del os.fork",
        "import os; del os.memfd_create",
    ],
    ids=["threads", "no fork", "no memory files"],
)
def test_function_fetches_by_itself_where_no_child_can_be_had(s3: FaultyS3, before: str) -> None:
    said, (cold, _) = cold_process(s3, published(), before=before)
    assert answered(said) == [2, 4, 6]
    assert list(cold["phases_ms"]) == HERE
    assert cold["notes"][0].startswith("not fetched beside the imports: ")


# What is taken of a child whose reader is made by the expression given.
TAKE = """
import hashlib, json, os, time
from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.sigv4 import Credentials
from hotplate.runtime.ahead import start
from hotplate.runtime.ledger import Ledger
from hotplate.settings import Settings
settings = Settings.from_environ(os.environ)
ahead = start(settings, lambda: {reader})
try:
    found = ahead.take(settings, Ledger())
except Exception as fault:
    links = [os.path.join("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd")]
    held = sum("hotplate-model" in os.readlink(link) for link in links if os.path.islink(link))
    print(json.dumps([type(fault).__name__, str(fault), held]))
else:
    print(json.dumps({{path: hashlib.sha256(body).hexdigest() for path, body in found.files.items()}}))
ahead.end()
assert not os.path.exists(f"/proc/{{ahead._child}}"), "the child is still there"
"""
READER = "S3Reader.from_settings(settings, Credentials.from_environ(os.environ))"


def test_child_that_dies_is_told_from_one_that_met_a_fault(s3: FaultyS3) -> None:
    (name, text, held), _ = cold_process(s3, published(), program=TAKE.format(reader="os._exit(9)"))
    assert held == 0, "its memory is given back, because the function fetches by itself now"
    assert (name, text) == ("NotAheadError", "the fetching process ended without a report")


def test_child_that_never_reports_is_ended_at_the_deadline(s3: FaultyS3) -> None:
    hangs = TAKE.format(reader="time.sleep(60)")
    (name, _, held), _ = cold_process(s3, published(), program=hangs, HOTPLATE_FETCH_TIMEOUT_S="1")
    assert (name, held) == ("StoreUnavailableError", 0)


def altered(version: Published) -> None:
    version.reader.objects[version.graph_key] = affine_graph(3.0)


def altered_manifest(version: Published) -> None:
    raw = version.reader.objects[version.manifest_key]
    version.reader.objects[version.manifest_key] = raw.replace(b'"affine"', b'"other1"')


def without(key: str) -> Any:
    def change(version: Published) -> None:
        del version.reader.objects[getattr(version, key)]

    return change


@pytest.mark.parametrize(
    ("change", "status", "name"),
    [
        (altered, 500, "DigestMismatchError"),
        (altered_manifest, 500, "DigestMismatchError"),
        (without("graph_key"), 500, "StoreNotFoundError"),
        (without("manifest_key"), 500, "StoreNotFoundError"),
        (without("signature_key"), 500, "SignatureError"),
    ],
    ids=["blob altered", "manifest altered", "blob missing", "manifest missing", "signature missing"],
)
def test_what_the_child_met_is_answered_by_name(s3: FaultyS3, change: Any, status: int, name: str) -> None:
    version = published()
    change(version)
    said, logged = cold_process(s3, version)
    assert said["answer"]["statusCode"] == status
    assert json.loads(said["answer"]["body"])["type"].endswith(name)
    assert not any(line.get("hotplate") == "cold" for line in logged)


def test_slow_store_is_a_503_by_the_deadline(s3: FaultyS3) -> None:
    version = published()
    s3.faults[version.graph_key].extend([Fault(drip_s=0.2)] * 9)
    said, _ = cold_process(s3, version, HOTPLATE_FETCH_TIMEOUT_S="1")
    assert said["answer"]["statusCode"] == 503


def test_wrong_settings_are_answered_as_before(s3: FaultyS3) -> None:
    said, _ = cold_process(s3, published(), HOTPLATE_MANIFEST_SHA256="no digest")
    assert json.loads(said["answer"]["body"])["type"].endswith("SettingsError")


def with_files(*bodies: bytes) -> Published:
    """Return the affine version with more files, all of role asset."""
    version = published()
    blobs = {version.graph_key: affine_graph()}
    entries = list(version.manifest.files)
    for index, body in enumerate(bodies):
        digest = hashlib.sha256(body).hexdigest()
        blobs[blob_key(digest)] = body
        entries.append(FileEntry(f"part-{index}.bin", "asset", len(body), digest))
    return republished(msgspec.structs.replace(version.manifest, files=tuple(entries)), blobs)


def test_many_files_of_any_length_arrive_whole(s3: FaultyS3) -> None:
    version = with_files(b"", b"x", bytes(range(256)) * 16, b"y" * (RANGE_BYTES * 2 + 1))
    found, _ = cold_process(s3, version, program=TAKE.format(reader=READER))
    assert found == {entry.path: entry.sha256 for entry in version.manifest.files}


def test_cache_of_one_process_serves_the_next(s3: FaultyS3, tmp_path: Path) -> None:
    version = published()
    for _ in range(2):
        said, logged = cold_process(s3, version, HOTPLATE_CACHE_DIR=str(tmp_path))
        cold = logged[0]
        assert answered(said) == [2, 4, 6]
        assert list(cold["phases_ms"]) == BESIDE
    assert [key for key, _ in s3.requests].count(version.graph_key) == 1


PYTHON_MODEL = """
import sys, types
sys.modules["program"] = types.SimpleNamespace(load=lambda assets: None)
from hotplate.wiring import program_function
program_function("program")
print("0")
"""


def test_what_the_child_timed_and_noted_of_a_program_is_in_the_ledger(s3: FaultyS3) -> None:
    version = published_program({"a": b"1"})
    _, (cold,) = cold_process(s3, version, program=PYTHON_MODEL)
    assert (set(cold["beside_ms"]), cold["notes"]) == ({"manifest", "fetch"}, [])
    folder = "/dev/null/cache"
    _, (cold,) = cold_process(s3, version, program=PYTHON_MODEL, HOTPLATE_CACHE_DIR=folder)
    assert set(cold["beside_ms"]) == {"manifest", "fetch"}
    assert cold["notes"]
    assert all(note.startswith("no cache: ") or "cached" in note for note in cold["notes"]), cold["notes"]
