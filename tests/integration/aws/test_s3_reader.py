"""The cold path's S3 reader against an S3 that misbehaves, and against moto's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import boto3
import pytest
from moto.server import ThreadedMotoServer

from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import (
    LengthMismatchError,
    SettingsError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnavailableError,
)
from hotplate.limits import MAX_PARALLEL_RANGES
from tests.support.faulty_s3 import BUCKET, Fault, FaultyS3, faulty_s3

KEY = "blobs/sha256/a b+c"
BODY = bytes(range(256)) * 40


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with faulty_s3() as server:
        server.objects[KEY] = BODY
        yield server


class MakeReader(Protocol):
    def __call__(self, endpoint: str, *, deadline_s: float = 20.0) -> S3Reader: ...


@pytest.fixture
def reader() -> Iterator[MakeReader]:
    with ExitStack() as opened:

        def make(endpoint: str, *, deadline_s: float = 20.0) -> S3Reader:
            store = S3Reader(
                bucket=BUCKET,
                region="us-east-1",
                endpoint=endpoint,
                credentials=Credentials("AK", "SK", None),
                deadline_s=deadline_s,
            )
            opened.callback(store.close)
            return store

        yield make


def read(store: S3Reader, start: int, count: int, object_bytes: int = len(BODY)) -> bytes:
    into = bytearray(count)
    store.read_range(KEY, start=start, into=memoryview(into), object_bytes=object_bytes)
    return bytes(into)


def test_range_is_read_and_the_connection_kept(reader: MakeReader, s3: FaultyS3) -> None:
    store = reader(s3.endpoint)
    assert read(store, 0, 10) == BODY[:10]
    assert read(store, 1000, 240) == BODY[1000:1240]
    assert s3.requests == [(KEY, "bytes=0-9"), (KEY, "bytes=1000-1239")]


def test_another_thread_goes_on_with_the_connection(reader: MakeReader, s3: FaultyS3) -> None:
    store = reader(s3.endpoint)
    parts = [read(store, 0, 10)]
    for start in (10, 20):
        thread = threading.Thread(target=lambda at: parts.append(read(store, at, 10)), args=[start])
        thread.start()
        thread.join()
    assert b"".join(parts) == BODY[:30]
    assert len(store._connections) == 1


def test_threads_at_once_have_a_connection_each(reader: MakeReader, s3: FaultyS3) -> None:
    store, parts = reader(s3.endpoint), dict[int, bytes]()
    read(store, 0, 1)
    threads = [
        threading.Thread(target=lambda at: parts.update({at: read(store, at, 300)}), args=[at])
        for at in range(0, 1200, 300)
    ]
    for _ in threads:
        s3.faults[KEY].append(Fault(drip_s=0.0005))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert parts == {at: BODY[at : at + 300] for at in range(0, 1200, 300)}
    assert 1 < len(store._connections) <= len(threads)


def test_small_object_is_read_whole(reader: MakeReader, s3: FaultyS3) -> None:
    assert reader(s3.endpoint).read_small(KEY, max_bytes=len(BODY)) == BODY


def test_small_object_over_the_cap_is_refused(reader: MakeReader, s3: FaultyS3) -> None:
    with pytest.raises(LengthMismatchError, match=f"{len(BODY)} bytes, at most 100"):
        reader(s3.endpoint).read_small(KEY, max_bytes=100)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=503), id="slow-down"),
        pytest.param(Fault(status=500), id="internal-error"),
        pytest.param(Fault(status=429), id="too-many-requests"),
        pytest.param(Fault(cut_at=7), id="body-cut"),
        pytest.param(Fault(plain=True), id="range-ignored"),
    ],
)
def test_a_fault_met_twice_is_passed(reader: MakeReader, s3: FaultyS3, fault: Fault) -> None:
    s3.faults[KEY].extend([fault, fault])
    assert read(reader(s3.endpoint), 5, 100) == BODY[5:105]
    assert len(s3.requests) == 3


def test_a_fault_that_stays_is_unavailable(reader: MakeReader, s3: FaultyS3) -> None:
    s3.faults[KEY].extend([Fault(status=503)] * 9)
    with pytest.raises(StoreUnavailableError, match="S3 answered 503"):
        read(reader(s3.endpoint), 0, 10)
    assert len(s3.requests) == 4


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, StoreNotFoundError), (403, StoreDeniedError), (401, StoreDeniedError), (400, StoreError)],
)
def test_a_verdict_is_not_retried(
    reader: MakeReader, s3: FaultyS3, status: int, error: type[StoreError]
) -> None:
    s3.faults[KEY].append(Fault(status=status))
    with pytest.raises(error):
        read(reader(s3.endpoint), 0, 10)
    assert len(s3.requests) == 1


@pytest.mark.parametrize("published", [len(BODY) - 1, len(BODY) + 1], ids=["longer", "shorter"])
def test_another_length_than_published_is_refused(reader: MakeReader, s3: FaultyS3, published: int) -> None:
    with pytest.raises(LengthMismatchError, match=f"{len(BODY)} bytes, {published} were published"):
        read(reader(s3.endpoint), 0, 10, object_bytes=published)


def test_a_range_past_the_end_is_a_wrong_length(reader: MakeReader, s3: FaultyS3) -> None:
    with pytest.raises(LengthMismatchError, match="shorter than"):
        read(reader(s3.endpoint), len(BODY) + 100, 10, object_bytes=len(BODY) + 200)


def test_silence_ends_at_the_deadline(reader: MakeReader, s3: FaultyS3) -> None:
    s3.faults[KEY].extend([Fault(delay_s=1.0)] * 4)
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        read(reader(s3.endpoint, deadline_s=0.4), 0, 10)
    assert time.monotonic() - started < 0.9


@pytest.mark.parametrize("fault", [Fault(drip_s=0.05), Fault(head_drip_s=0.05)], ids=["body", "headers"])
def test_dribble_ends_at_the_deadline(reader: MakeReader, s3: FaultyS3, fault: Fault) -> None:
    s3.faults[KEY].extend([fault] * 4)
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        read(reader(s3.endpoint, deadline_s=0.4), 0, 1000)
    assert time.monotonic() - started < 0.9


def test_silence_in_the_middle_ends_at_the_deadline(reader: MakeReader, s3: FaultyS3) -> None:
    s3.faults[KEY].append(Fault(drip_s=0.3))
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        read(reader(s3.endpoint, deadline_s=0.4), 0, 1000)
    assert time.monotonic() - started < 0.9


def test_reads_that_wait_for_bytes_keep_nobody_from_reading(reader: MakeReader, s3: FaultyS3) -> None:
    slow = [f"slow-{number}" for number in range(MAX_PARALLEL_RANGES - 1)]
    for key in slow:
        s3.objects[key] = BODY
        s3.faults[key].append(Fault(drip_s=3))
    store = reader(s3.endpoint, deadline_s=1.5)
    ended: list[str] = []

    def wait(key: str) -> None:
        with pytest.raises(StoreUnavailableError):
            store.read_range(key, start=0, into=memoryview(bytearray(1000)), object_bytes=len(BODY))
        ended.append(key)

    threads = [threading.Thread(target=wait, args=[key]) for key in slow]
    for thread in threads:
        thread.start()
    while len(s3.requests) < len(slow):
        time.sleep(0.01)
    assert read(store, 0, len(BODY)) == BODY
    assert not ended
    for thread in threads:
        thread.join()
    assert sorted(ended) == slow


def test_nobody_there_is_unavailable(reader: MakeReader) -> None:
    with pytest.raises(StoreUnavailableError, match="ConnectionRefusedError"):
        read(reader("http://127.0.0.1:9", deadline_s=2), 0, 10)


def test_an_endpoint_that_is_no_address_is_named(reader: MakeReader) -> None:
    with pytest.raises(SettingsError, match=r"'s3\.local'"):
        reader("s3.local")


@pytest.mark.parametrize(
    ("bucket", "region", "host", "prefix"),
    [
        ("models", "eu-west-1", "models.s3.eu-west-1.amazonaws.com", "/"),
        ("models", "cn-north-1", "models.s3.cn-north-1.amazonaws.com.cn", "/"),
        ("my.models", "eu-west-1", "s3.eu-west-1.amazonaws.com", "/my.models/"),
    ],
    ids=["virtual-hosted", "china", "dots"],
)
def test_address_at_aws(bucket: str, region: str, host: str, prefix: str) -> None:
    from hotplate.aws.s3_reader import bucket_address

    assert bucket_address(bucket, region, None) == ("https", host, prefix)


def test_moto_answers_the_same_reader(reader: MakeReader) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="AK",
            aws_secret_access_key="SK",
        )
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key=KEY, Body=BODY)
        store = reader(endpoint)
        assert read(store, 100, 1000) == BODY[100:1100]
        assert store.read_small(KEY, max_bytes=len(BODY)) == BODY
    finally:
        server.stop()
