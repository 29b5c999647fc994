"""A registry in an S3 bucket, through boto3: for publishing and the control functions.

Rules kept here:

1. Nothing is overwritten but an alias: a new key is written with `If-None-Match: *`, an alias with
   `If-Match`. 412 means that somebody was first. 409 means that somebody is writing at this moment:
   look again, a bounded number of times.
2. S3 checks the bytes it got against our SHA-256 before it keeps them; a large file's parts are
   each checked, and the whole digest is compared before the upload is completed.
3. Bodies are read in chunks, up to a cap.
4. An object is removed by the id of the version that was listed, so one that was renewed since
   stays; a bucket that keeps no versions cannot tell, and removing from it is refused.

Source: Amazon S3 User Guide, "Add preconditions to S3 operations with conditional requests" and
"Checking object integrity".
"""

from __future__ import annotations

import base64
import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.aws.faults import s3_faults
from hotplate.aws.multipart import PART_BYTES, upload_parts
from hotplate.errors import (
    DigestMismatchError,
    LengthMismatchError,
    StoreConflictError,
    StoreError,
    StoreNotFoundError,
    StoreUnavailableError,
)
from hotplate.limits import STORE_ATTEMPTS, STORE_BACKOFF_S
from hotplate.store.base import Entry, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef

__all__ = ["S3Store"]

CHUNK_BYTES = 1024 * 1024


class S3Store:
    """A `Store` in one bucket; `part_bytes` is the size from which a file goes in parts."""

    def __init__(self, client: S3Client, bucket: str, *, part_bytes: int = PART_BYTES) -> None:
        self._client = client
        self._bucket = bucket
        self._part_bytes = part_bytes

    def get(self, key: str, *, max_bytes: int) -> Stored:
        """Return an object whole. See `Store.get`."""
        with s3_faults(self._bucket, key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with answer["Body"] as stream:
                body = bytearray()
                while len(body) <= max_bytes and (chunk := stream.read(CHUNK_BYTES)):
                    body += chunk
        if len(body) > max_bytes:
            raise LengthMismatchError(f"s3://{self._bucket}/{key} is longer than {max_bytes} bytes")
        return Stored(bytes(body), answer["ETag"])

    def size(self, key: str) -> int | None:
        """Return the object's length in bytes, or None. See `Store.size`."""
        try:
            with s3_faults(self._bucket, key):
                return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
        except StoreNotFoundError:
            return None

    def put_new(
        self, key: str, body: bytes | Path, *, sha256: str, progress: Callable[[int], None] | None = None
    ) -> bool:
        """Write an object unless one is there. See `Store.put_new`."""
        for attempt in range(STORE_ATTEMPTS):
            # Asked first, because S3 reads the whole body before it says 412.
            if self.size(key) is not None:
                return False
            try:
                self._put(key, body, sha256, progress)
            except (StoreConflictError, StoreNotFoundError):
                # Not found is an upload in parts whose completion was answered, but not heard.
                _pause(attempt)
            else:
                return True
        raise StoreUnavailableError(f"s3://{self._bucket}/{key}: others keep writing it; nothing was written")

    def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
        """Write a small object over the one tagged `etag`. See `Store.replace`."""
        for attempt in range(STORE_ATTEMPTS):
            if self._tag(key) != etag:
                raise StoreConflictError(f"s3://{self._bucket}/{key} was written by somebody else")
            try:
                return self._swap(key, body, etag)
            except (StoreConflictError, StoreNotFoundError):
                _pause(attempt)
        raise StoreConflictError(f"s3://{self._bucket}/{key}: others keep writing it; nothing was changed")

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with `prefix`, in order. See `Store.keys`."""
        with s3_faults(self._bucket, prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            ):
                yield from (entry["Key"] for entry in page.get("Contents", ()))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield every object whose key starts with `prefix`, in order. See `Store.entries`."""
        with s3_faults(self._bucket, prefix):
            for page in self._client.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=prefix
            ):
                for each in page.get("Versions", ()):
                    if each["IsLatest"]:
                        yield Entry(each["Key"], each["Size"], each["LastModified"], each["VersionId"])

    def renew(self, key: str, *, before: datetime) -> bool:
        """Make an old object count as written now. See `Store.renew`."""
        source: CopySourceTypeDef = {"Bucket": self._bucket, "Key": key}
        try:
            with s3_faults(self._bucket, key):
                if self._client.head_object(**source)["LastModified"] < before:
                    # S3 refuses to copy an object onto itself unless something is said anew. This
                    # call, unlike CopyObject, also copies what is longer than 5 GB.
                    self._client.copy(source, self._bucket, key, {"MetadataDirective": "REPLACE"})
        except StoreNotFoundError:
            return False
        return True

    def remove(self, entry: Entry) -> None:
        """Remove an object as it was listed. See `Store.remove`."""
        with s3_faults(self._bucket, entry.key):
            # "null" is the id of everything that was written while the bucket kept no versions.
            if entry.state == "null":
                status = self._client.get_bucket_versioning(Bucket=self._bucket).get("Status")
                if status != "Enabled":
                    raise StoreError(f"bucket {self._bucket!r} keeps no versions: nothing is removed from it")
            self._client.delete_object(Bucket=self._bucket, Key=entry.key, VersionId=entry.state)

    def _put(self, key: str, body: bytes | Path, sha256: str, progress: Callable[[int], None] | None) -> None:
        if isinstance(body, Path):
            if body.stat().st_size > self._part_bytes:
                with s3_faults(self._bucket, key):
                    upload_parts(
                        self._client, self._bucket, key, body, sha256, progress, part_bytes=self._part_bytes
                    )
                return
            body = body.read_bytes()
        found = hashlib.sha256(body)
        if found.hexdigest() != sha256:
            raise DigestMismatchError(
                f"{key}: the bytes to write have SHA-256 {found.hexdigest()}, not {sha256}"
            )
        with s3_faults(self._bucket, key):
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                IfNoneMatch="*",
                ChecksumSHA256=base64.b64encode(found.digest()).decode(),
            )
        if progress:
            progress(len(body))

    def _tag(self, key: str) -> str | None:
        try:
            with s3_faults(self._bucket, key):
                return self._client.head_object(Bucket=self._bucket, Key=key)["ETag"]
        except StoreNotFoundError:
            return None

    def _swap(self, key: str, body: bytes, etag: str | None) -> str:
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        with s3_faults(self._bucket, key):
            if etag is None:
                answer = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", ChecksumSHA256=checksum
                )
            else:
                answer = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, IfMatch=etag, ChecksumSHA256=checksum
                )
        return answer["ETag"]


def _pause(attempt: int) -> None:
    time.sleep(STORE_BACKOFF_S * 2**attempt)
