import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectTimeoutError
from moto import mock_aws

from hotplate.aws.clients import s3_client
from hotplate.aws.s3_store import S3Store
from hotplate.errors import (
    DigestMismatchError,
    LengthMismatchError,
    SettingsError,
    StoreConflictError,
    StoreDeniedError,
    StoreError,
    StoreUnavailableError,
)
from hotplate.limits import MIB
from tests.support.store_contract import BLOB, KEY, StoreContract, sha

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART = 5 * 1024 * 1024


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def client(environment: None) -> "Iterator[S3Client]":
    with mock_aws():
        client = s3_client(region="us-east-1")
        client.create_bucket(Bucket="registry")
        client.put_bucket_versioning(
            Bucket="registry", VersioningConfiguration={"Status": "Enabled"}
        )  # as the template does
        yield client


@pytest.fixture
def store(client: "S3Client") -> S3Store:
    return S3Store(client, "registry")


class TestS3Store(StoreContract):
    @pytest.fixture
    def store(self, client: "S3Client") -> S3Store:
        return S3Store(client, "registry")


class Answers:
    """Answers the first calls of an operation in S3's place; then lets S3 answer. Keeps the headers sent."""

    def __init__(self, client: "S3Client", operation: str, *faults: tuple[int, str] | Exception) -> None:
        self.waiting = list(faults)
        self.sent: list[dict[str, str]] = []
        client.meta.events.register_first(f"before-call.s3.{operation}", self)

    def __call__(self, params: dict[str, Any], **context: Any) -> Any:
        self.sent.append(dict(params["headers"]))
        if not self.waiting:
            return None
        fault = self.waiting.pop(0)
        if isinstance(fault, Exception):
            raise fault
        status, code = fault
        error = {
            "Error": {"Code": code, "Message": "injected"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }
        return AWSResponse(params["url"], status, HTTPHeaders(), None), error


def test_new_object_is_written_conditionally_with_its_digest(client: "S3Client", store: S3Store) -> None:
    put = Answers(client, "PutObject")
    store.put_new(BLOB, b"bytes", sha256=sha(b"bytes"))
    digest = base64.b64encode(hashlib.sha256(b"bytes").digest()).decode()
    assert (put.sent[0]["If-None-Match"], put.sent[0]["x-amz-checksum-sha256"]) == ("*", digest)


def test_object_that_appears_between_the_look_and_the_write_is_kept(
    client: "S3Client", store: S3Store
) -> None:
    def somebody_first(**context: Any) -> None:
        client.meta.events.unregister("before-call.s3.PutObject", somebody_first)
        client.put_object(Bucket="registry", Key=BLOB, Body=b"theirs")

    client.meta.events.register("before-call.s3.PutObject", somebody_first)
    assert store.put_new(BLOB, b"mine", sha256=sha(b"mine")) is False
    assert store.get(BLOB, max_bytes=9).body == b"theirs"


def test_conflicting_write_is_looked_at_again(client: "S3Client", store: S3Store) -> None:
    answers = Answers(client, "PutObject", (409, "ConditionalRequestConflict"))
    assert store.put_new(BLOB, b"mine", sha256=sha(b"mine")) is True
    assert len(answers.sent) == 2


def test_endless_conflict_gives_up(client: "S3Client", store: S3Store) -> None:
    answers = Answers(client, "PutObject", *[(409, "ConditionalRequestConflict")] * 99)
    with pytest.raises(StoreUnavailableError):
        store.put_new(BLOB, b"mine", sha256=sha(b"mine"))
    assert len(answers.sent) == 4


def test_alias_move_survives_one_conflicting_write(client: "S3Client", store: S3Store) -> None:
    etag = store.replace(KEY, b"one", etag=None)
    answers = Answers(client, "PutObject", (409, "ConditionalRequestConflict"))
    store.replace(KEY, b"two", etag=etag)
    assert answers.sent[-1]["If-Match"] == etag
    assert store.get(KEY, max_bytes=9).body == b"two"


def test_alias_moved_between_the_look_and_the_write_is_a_conflict(client: "S3Client", store: S3Store) -> None:
    etag = store.replace(KEY, b"one", etag=None)

    def somebody_first(**context: Any) -> None:
        client.meta.events.unregister("before-call.s3.PutObject", somebody_first)
        client.put_object(Bucket="registry", Key=KEY, Body=b"theirs")

    client.meta.events.register("before-call.s3.PutObject", somebody_first)
    with pytest.raises(StoreConflictError):
        store.replace(KEY, b"mine", etag=etag)
    assert store.get(KEY, max_bytes=9).body == b"theirs"


def test_large_file_goes_in_parts_and_is_completed_only_if_new(
    client: "S3Client", tmp_path: Path, environment: None
) -> None:
    body = bytes(range(256)) * (2 * PART // 256) + b"tail"
    file = tmp_path / "weights"
    file.write_bytes(body)
    store = S3Store(client, "registry", part_bytes=PART)
    completed, parts, seen = Answers(client, "CompleteMultipartUpload"), Answers(client, "UploadPart"), [0]
    assert store.put_new(BLOB, file, sha256=sha(body), progress=seen.append) is True
    assert store.get(BLOB, max_bytes=len(body)).body == body
    assert (len(parts.sent), sum(seen)) == (3, len(body))
    assert all("x-amz-checksum-sha256" in headers for headers in parts.sent)
    assert completed.sent[0]["If-None-Match"] == "*"


def test_large_file_that_changed_since_it_was_hashed_is_not_kept(client: "S3Client", tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"y" * (PART + 1))
    with pytest.raises(DigestMismatchError):
        S3Store(client, "registry", part_bytes=PART).put_new(BLOB, file, sha256=sha(b"x" * (PART + 1)))
    assert client.list_multipart_uploads(Bucket="registry").get("Uploads", []) == []
    assert client.list_objects_v2(Bucket="registry").get("KeyCount") == 0


def test_completion_that_was_answered_but_not_heard_is_found_out(client: "S3Client", tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"x" * (PART + 1))

    def completed_before(params: dict[str, Any], **context: Any) -> None:
        client.put_object(Bucket="registry", Key=BLOB, Body=file.read_bytes())

    Answers(client, "CompleteMultipartUpload", (404, "NoSuchUpload"))
    client.meta.events.register_first("before-call.s3.CompleteMultipartUpload", completed_before)
    store = S3Store(client, "registry", part_bytes=PART)
    assert store.put_new(BLOB, file, sha256=sha(b"x" * (PART + 1))) is False
    assert store.size(BLOB) == PART + 1


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_failed_upload_in_parts_leaves_nothing_behind(
    client: "S3Client", tmp_path: Path, operation: str
) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"x" * (PART + 1))
    Answers(client, operation, (403, "AccessDenied"))
    with pytest.raises(StoreDeniedError):
        S3Store(client, "registry", part_bytes=PART).put_new(BLOB, file, sha256=sha(b"x" * (PART + 1)))
    assert client.list_multipart_uploads(Bucket="registry").get("Uploads", []) == []
    assert client.list_objects_v2(Bucket="registry").get("KeyCount") == 0


def test_body_without_end_is_read_up_to_the_cap_only(client: "S3Client", store: S3Store) -> None:
    class Endless:
        read_bytes = 0

        def read(self, count: int) -> bytes:
            self.read_bytes += count
            if self.read_bytes > 100 * MIB:
                raise AssertionError("read on and on")
            return bytes(count)

        def __enter__(self) -> "Endless":
            return self

        def __exit__(self, *fault: object) -> None:
            """Nothing is held."""

    def answer(**context: Any) -> Any:
        return AWSResponse("", 200, HTTPHeaders(), None), {"Body": Endless(), "ETag": '"0"'}

    client.meta.events.register_first("before-call.s3.GetObject", answer)
    with pytest.raises(LengthMismatchError):
        store.get(BLOB, max_bytes=2 * MIB)


def test_more_keys_than_a_page_are_all_listed(
    client: "S3Client", store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for index in range(5):
        client.put_object(Bucket="registry", Key=f"models/m{index}/x", Body=b"")
    assert client.list_objects_v2(Bucket="registry")["KeyCount"] == 2
    assert list(store.keys("models/")) == [f"models/m{index}/x" for index in range(5)]


def test_missing_bucket_is_told_apart_from_a_missing_object(client: "S3Client") -> None:
    store = S3Store(client, "elsewhere")
    with pytest.raises(StoreError, match="no bucket 'elsewhere'"):
        store.get(KEY, max_bytes=1)
    with pytest.raises(StoreError, match="no bucket 'elsewhere'"):
        store.put_new(BLOB, b"", sha256=sha(b""))
    with pytest.raises(StoreError, match="no bucket 'elsewhere'"):
        list(store.keys(""))


@pytest.mark.parametrize(
    ("fault", "ours"),
    [
        ((403, "AccessDenied"), StoreDeniedError),
        ((403, "ExpiredToken"), StoreDeniedError),
        ((400, "BadDigest"), DigestMismatchError),
        ((400, "InvalidArgument"), StoreError),
        ((503, "SlowDown"), StoreUnavailableError),
        (ConnectTimeoutError(endpoint_url="https://s3"), StoreUnavailableError),
    ],
    ids=["denied", "expired", "digest", "bad request", "slow down", "time-out"],
)
def test_every_fault_of_the_library_becomes_ours(
    environment: None, fault: tuple[int, str] | Exception, ours: type[Exception]
) -> None:
    with mock_aws():
        client = s3_client(region="us-east-1")
        client.create_bucket(Bucket="registry")
        Answers(client, "PutObject", fault)
        with pytest.raises(ours) as caught:
            S3Store(client, "registry").put_new(BLOB, b"x", sha256=hashlib.sha256(b"x").hexdigest())
        assert type(caught.value) is ours


def test_another_endpoint_is_addressed_by_path(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    client = s3_client()
    url = client.generate_presigned_url("get_object", Params={"Bucket": "registry", "Key": "k"})
    assert url.startswith("http://localhost:4566/registry/k?")


def test_aws_is_addressed_by_the_bucket_s_own_host(environment: None) -> None:
    client = s3_client(region="eu-west-1")
    url = client.generate_presigned_url("get_object", Params={"Bucket": "registry", "Key": "k"})
    assert url.startswith("https://registry.s3.")


def test_missing_profile_is_a_settings_error(
    environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(SettingsError):
        s3_client()


def test_bucket_that_keeps_no_versions_loses_nothing(client: "S3Client", store: S3Store) -> None:
    client.create_bucket(Bucket="plain")
    plain = S3Store(client, "plain")
    plain.put_new(BLOB, b"bytes", sha256=sha(b"bytes"))
    (listed,) = plain.entries("")
    with pytest.raises(StoreError, match="keeps no versions"):
        plain.remove(listed)
    assert plain.size(BLOB) == 5


def test_object_from_before_the_bucket_kept_versions_is_removed(client: "S3Client") -> None:
    client.create_bucket(Bucket="plain")
    plain = S3Store(client, "plain")
    plain.put_new(BLOB, b"bytes", sha256=sha(b"bytes"))
    client.put_bucket_versioning(Bucket="plain", VersioningConfiguration={"Status": "Enabled"})
    (listed,) = plain.entries("")
    plain.remove(listed)
    assert plain.size(BLOB) is None
