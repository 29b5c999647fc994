"""Objects that are written whole or not at all, and read as they were when their tag was told."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from hotplate.aws import batch_files
from hotplate.aws.batch_files import BatchFiles, ObjectSource
from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import StoreConflictError, StoreError, StoreNotFoundError
from hotplate.limits import MIB
from tests.support.faulty_s3 import BUCKET, Fault, faulty_s3

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = bytes(range(256)) * 100


@pytest.fixture
def files() -> Iterator[BatchFiles]:
    with mock_aws():
        client = boto3.client("s3", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        client.create_bucket(Bucket=BUCKET)
        yield BatchFiles(client, BUCKET)


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 12 * MIB + 3], ids=["none", "one", "a part", "parts"])
def test_object_is_written_in_pieces(files: BatchFiles, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_files, "PART_BYTES", 5 * MIB)
    body = (BODY * (size // len(BODY) + 1))[:size]
    with files.writer("k", "text/csv") as sink:
        for at in range(0, size, MIB):
            sink.write(memoryview(body)[at : at + MIB])
    assert files.get("k", max_bytes=size) == body
    assert (sink.written, sink.sha256) == (size, hashlib.sha256(body).hexdigest())
    assert files.client.head_object(Bucket=BUCKET, Key="k")["ContentType"] == "text/csv"


def test_object_that_breaks_off_is_not_there(files: BatchFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_files, "PART_BYTES", 5 * MIB)

    def break_off() -> None:
        with files.writer("k", "text/csv") as sink:
            sink.write(bytes(6 * MIB))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    with pytest.raises(StoreNotFoundError):
        files.size("k")
    assert "Uploads" not in files.client.list_multipart_uploads(Bucket=BUCKET)


def test_no_more_is_read_than_is_allowed(files: BatchFiles) -> None:
    files.put("k", BODY)
    assert files.get("k", max_bytes=len(BODY)) == BODY
    with pytest.raises(StoreError, match="longer than 100 bytes"):
        files.get("k", max_bytes=100)


def test_options_that_are_not_there_are_none(files: BatchFiles) -> None:
    assert files.options("in/a/m/f") == b"{}"


class Broken:
    """A body that ends too early, as often as it is told to."""

    def __init__(self, whole: Any, times: int) -> None:
        self.whole, self.times = whole, times

    def get_object(self, **named: Any) -> Any:
        answer = self.whole.get_object(**named)
        if self.times:
            self.times -= 1
            body = answer["Body"].read()
            answer["Body"] = self._Body(body[: len(body) // 2])
        return answer

    class _Body:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def iter_chunks(self, _: int) -> Iterator[bytes]:
            yield self.body
            raise OSError("the connection ended")


def test_reading_goes_on_where_it_broke_off(files: BatchFiles) -> None:
    files.put("k", BODY)
    assert b"".join(BatchFiles(Broken(files.client, 3), BUCKET).stream("k")) == BODY  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="the connection ended"):
        b"".join(BatchFiles(Broken(files.client, 4), BUCKET).stream("k"))  # type: ignore[arg-type]


def test_source_is_the_object_of_its_tag_and_no_other() -> None:
    with faulty_s3() as s3:
        s3.objects["k"] = BODY
        reader = S3Reader(
            bucket=BUCKET,
            region="us-east-1",
            endpoint=s3.endpoint,
            credentials=Credentials("a", "b", None),
            deadline_s=10,
        )
        try:
            source = ObjectSource(reader, "k", size=len(BODY), etag="tag")
            assert bytes(source.read(10, 20)) == BODY[10:20]
            assert bytes(source.read(len(BODY) - 5, len(BODY) + 5)) == BODY[-5:]
            assert s3.headers[-1]["if-match"] == '"tag"'
            s3.faults["k"].append(Fault(status=412))
            with pytest.raises(StoreConflictError, match="was replaced by another object"):
                source.read(0, 5)
        finally:
            reader.close()
