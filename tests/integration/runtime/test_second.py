"""A second process reads half of a large model's ranges; where it does not, the first reads all."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hotplate.limits import RANGE_BYTES
from hotplate.manifest.layout import blob_key
from tests.support.faulty_s3 import BUCKET, Fault, FaultyS3, faulty_s3

ROOT = Path(__file__).parents[3]
LARGE = random.Random(1).randbytes(5 * RANGE_BYTES + 7)
SMALL = b"small"

# Fetches both files as the child does; `in_second` happens in the second process before it reads.
PROGRAM = """
import hashlib, json, os, sys
from types import SimpleNamespace
from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import HotplateError
from hotplate.runtime.files import Cache, fetch_files
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.memory import SharedMemory
from hotplate.runtime.second import Second

first = os.getpid()
def reader():
    if os.getpid() != first:
        {in_second}
    return S3Reader(bucket={bucket!r}, region="us-east-1", endpoint={endpoint!r},
                    credentials=Credentials("AK", "SK", None), deadline_s=20)

memory = SharedMemory()
second = Second(reader, memory)
entries = [SimpleNamespace(path=path, sha256=digest, size=size) for path, digest, size in {entries!r}]
views = []
def allocate(size):
    views.append(memory.allocate(size))
    return views[0]
try:
    placed = fetch_files(reader(), entries, Cache(None, Ledger()), allocate, second)
except HotplateError as fault:
    said = {{"fault": type(fault).__name__}}
else:
    said = {{
        entry.path: hashlib.sha256(views[0][at.offset:][:entry.size]).hexdigest()
        for entry, at in zip(entries, placed)
    }}
second.end()
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print(json.dumps(said))
"""


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with faulty_s3() as server:
        for body in (LARGE, SMALL):
            server.objects[blob_key(sha256(body).hexdigest())] = body
        yield server


def fetched(s3: FaultyS3, *bodies: bytes, in_second: str = "pass") -> Any:
    entries = [(f"file-{at}", sha256(body).hexdigest(), len(body)) for at, body in enumerate(bodies)]
    program = PROGRAM.format(bucket=BUCKET, endpoint=s3.endpoint, entries=entries, in_second=in_second)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "layers" / "serving" / "python")}
    done = subprocess.run([sys.executable, "-c", program], env=environ, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def digests(*bodies: bytes) -> dict[str, str]:
    return {f"file-{at}": sha256(body).hexdigest() for at, body in enumerate(bodies)}


def ranges(s3: FaultyS3, body: bytes) -> list[str | None]:
    return [asked for key, asked in s3.requests if key == blob_key(sha256(body).hexdigest())]


def test_both_read_half_and_no_range_is_read_twice(s3: FaultyS3, tmp_path: Path) -> None:
    seen = tmp_path / "second"
    in_second = f"open({str(seen)!r}, 'w').close()"
    assert fetched(s3, SMALL, LARGE, in_second=in_second) == digests(SMALL, LARGE)
    assert seen.exists()
    asked = ranges(s3, LARGE)
    assert len(asked) == len(set(asked)) == 6
    assert len(ranges(s3, SMALL)) == 1


def test_small_models_are_read_by_one(s3: FaultyS3, tmp_path: Path) -> None:
    seen = tmp_path / "second"
    assert fetched(s3, SMALL, in_second=f"open({str(seen)!r}, 'w').close()") == digests(SMALL)
    assert not seen.exists()


@pytest.mark.parametrize(
    "in_second", ["os._exit(9)", "raise OSError('no connection')", "os.kill(os.getpid(), 9)"]
)
def test_what_the_second_does_not_read_the_first_reads(s3: FaultyS3, in_second: str) -> None:
    assert fetched(s3, LARGE, SMALL, in_second=in_second) == digests(LARGE, SMALL)
    assert len(ranges(s3, LARGE)) == 6


def test_the_same_bytes_twice_are_two_files(s3: FaultyS3) -> None:
    assert fetched(s3, LARGE, LARGE) == digests(LARGE, LARGE)


def test_damage_in_either_half_is_found(s3: FaultyS3) -> None:
    key = blob_key(sha256(LARGE).hexdigest())
    for place in range(6):
        damaged = bytearray(LARGE)
        damaged[place * RANGE_BYTES] ^= 1
        s3.objects[key] = bytes(damaged)
        assert fetched(s3, LARGE) == {"fault": "DigestMismatchError"}


def test_a_range_that_breaks_off_is_read_again_by_itself(s3: FaultyS3) -> None:
    s3.faults[blob_key(sha256(LARGE).hexdigest())].extend([Fault(cut_at=1000), Fault(status=503)])
    assert fetched(s3, LARGE) == digests(LARGE)
    assert len(ranges(s3, LARGE)) == 8


def test_a_missing_object_is_told_as_what_it_is(s3: FaultyS3) -> None:
    del s3.objects[blob_key(sha256(LARGE).hexdigest())]
    assert fetched(s3, LARGE) == {"fault": "StoreNotFoundError"}
