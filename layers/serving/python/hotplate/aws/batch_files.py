"""The files of batch in the data bucket.

```
in/<tenant>/<model>/<file>                what is to be predicted
in/<tenant>/<model>/<file>.batch.json     options for it, if there are any; to be there first
work/<run>/layout.json, chunks.jsonl      how the file is laid out, and its chunks
work/<run>/map/…                           what the state machine is to work on, and what it gave
work/<run>/text/<chunk>                   of a compressed file: its chunks, unpacked
work/<run>/parts/…, errors/…              what the pieces gave; a name says what of the file it is of
out/<tenant>/<model>/<file>/              predictions.<ext>, errors.jsonl, report.json
```

A part's name says which run, chunk and range it is of, so whoever writes it again writes the same bytes.

Source: Amazon S3 API Reference, "GetObject" (`If-Match`), "CreateMultipartUpload".
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from botocore.exceptions import BotoCoreError, ClientError

from hotplate.aws.faults import s3_faults
from hotplate.errors import StoreError, StoreNotFoundError
from hotplate.limits import MIB, STORE_ATTEMPTS
from hotplate.tenants.folders import tenant_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from hotplate.aws.s3_reader import S3Reader

__all__ = ["IN", "SIDECAR", "BatchFiles", "InputKey", "ObjectSource", "ObjectWriter", "read_key"]

IN, SIDECAR = "in/", ".batch.json"
# Longest file of options that is read, in bytes. Ours.
MAX_OPTIONS_BYTES = 64 * 1024
# Bytes of one part of a large object. S3 takes 10,000 of them, so 320 GB in all.
PART_BYTES = 32 * MIB
_CHUNK_BYTES = 1 * MIB


class InputKey(NamedTuple):
    """What the key of an input says."""

    tenant: str
    model: str
    file: str

    @property
    def is_options(self) -> bool:
        """Whether this is the options of another file."""
        return self.file.endswith(SIDECAR)


def read_key(key: str) -> InputKey | None:
    """Return what a key says; None where it is no input's: a folder, or not deep enough."""
    parts = key.removeprefix(IN).split("/", 2)
    if not key.startswith(IN) or len(parts) < 3 or not all(parts) or key.endswith("/"):
        return None
    tenant = tenant_of(parts[0])
    return None if tenant is None else InputKey(tenant, parts[1], parts[2])


class ObjectSource:
    """A `Source`: one object, as it was when its entity tag was told."""

    def __init__(self, reader: S3Reader, key: str, *, size: int, etag: str = "") -> None:
        self.size = size
        self._reader, self._key, self._etag = reader, key, etag

    def read(self, start: int, stop: int) -> memoryview:
        """Return these bytes.

        Raises:
            StoreConflictError: Another object lies there now.
            StoreError: It cannot be read.
        """
        into = memoryview(bytearray(max(0, min(stop, self.size) - start)))
        if into:
            self._reader.read_range(
                self._key, start=start, into=into, object_bytes=self.size, etag=self._etag
            )
        return into


class BatchFiles:
    """The data bucket, reached by a client of S3."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self.client = client
        self.bucket = bucket

    def options(self, key: str) -> bytes:
        """Return the options beside an input; `{}` where there are none.

        Raises:
            StoreError: They cannot be read, or are too long.
        """
        try:
            return self.get(key + SIDECAR, max_bytes=MAX_OPTIONS_BYTES)
        except StoreNotFoundError:
            return b"{}"

    def get(self, key: str, *, max_bytes: int) -> bytes:
        """Return an object whole.

        Raises:
            StoreNotFoundError: It is not there.
            StoreError: It cannot be read, or is longer than `max_bytes`.
        """
        body = b"".join(self.stream(key, max_bytes=max_bytes))
        if len(body) > max_bytes:
            raise StoreError(f"s3://{self.bucket}/{key}: longer than {max_bytes} bytes")
        return body

    def stream(self, key: str, *, max_bytes: int | None = None) -> Iterator[bytes]:
        """Yield an object piece by piece, until it ends or is longer than `max_bytes`.

        Raises:
            StoreError: It cannot be read, however often it is gone on with where it broke off.
        """
        done, length, attempts = 0, -1, 0
        same: Any = {}
        while done != length:
            try:
                with s3_faults(self.bucket, key):
                    rest: Any = {"Range": f"bytes={done}-"} if done else {}
                    answer = self.client.get_object(Bucket=self.bucket, Key=key, **rest, **same)
                    length, same = done + answer["ContentLength"], {"IfMatch": answer["ETag"]}
                    for each in answer["Body"].iter_chunks(_CHUNK_BYTES):
                        done += len(each)
                        yield each
                        if max_bytes is not None and done > max_bytes:
                            return
            except (OSError, BotoCoreError, StoreError) as fault:
                attempts += 1
                if length < 0 or attempts == STORE_ATTEMPTS:
                    raise fault if isinstance(fault, StoreError) else StoreError(f"{key}: {fault}") from fault

    def etag(self, key: str) -> str | None:
        """Return an object's entity tag; None if it is not there.

        Raises:
            StoreError: It cannot be asked for.
        """
        try:
            with s3_faults(self.bucket, key):
                return self.client.head_object(Bucket=self.bucket, Key=key)["ETag"].strip('"')
        except StoreNotFoundError:
            return None

    def size(self, key: str) -> int:
        """Return an object's length in bytes.

        Raises:
            StoreError: It is not there, or cannot be asked for.
        """
        with s3_faults(self.bucket, key):
            return self.client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]

    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object.

        Raises:
            StoreError: The bucket cannot be written.
        """
        with s3_faults(self.bucket, key):
            self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def remove(self, key: str) -> None:
        """Remove an object, if it is there.

        Raises:
            StoreError: The bucket cannot be written.
        """
        with s3_faults(self.bucket, key):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def writer(self, key: str, content_type: str) -> ObjectWriter:
        """Return what writes an object piece by piece."""
        return ObjectWriter(self.client, self.bucket, key, content_type)


class ObjectWriter:
    """A sink: an object that is there, whole, when the block ends well, and not at all when it does not.

    Attributes:
        written: Bytes so far.
    """

    def __init__(self, client: S3Client, bucket: str, key: str, content_type: str) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._content_type = content_type
        self._held = bytearray()
        self._upload = ""
        self._parts: list[CompletedPartTypeDef] = []
        self._digest = hashlib.sha256()
        self.written = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written so far, in hex."""
        return self._digest.hexdigest()

    def write(self, body: bytes | memoryview) -> int:
        """Write what comes next; return how many bytes that was.

        Raises:
            StoreError: The bucket cannot be written.
        """
        self._digest.update(body)
        self._held += body
        self.written += len(body)
        while len(self._held) >= PART_BYTES:
            self._send(bytes(self._held[:PART_BYTES]))
            del self._held[:PART_BYTES]
        return len(body)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._complete()
        elif self._upload:
            # The first fault is the one to tell; a rule of the bucket removes what stays.
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload)

    def _send(self, body: bytes) -> None:
        with s3_faults(self._bucket, self._key):
            if not self._upload:
                begun = self._client.create_multipart_upload(
                    Bucket=self._bucket, Key=self._key, ContentType=self._content_type
                )
                self._upload = begun["UploadId"]
            number = len(self._parts) + 1
            answer = self._client.upload_part(
                Bucket=self._bucket, Key=self._key, UploadId=self._upload, PartNumber=number, Body=body
            )
            self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def _complete(self) -> None:
        if not self._upload:
            with s3_faults(self._bucket, self._key):
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._key,
                    Body=bytes(self._held),
                    ContentType=self._content_type,
                )
            return
        if self._held:
            self._send(bytes(self._held))
        with s3_faults(self._bucket, self._key):
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._upload,
                MultipartUpload={"Parts": self._parts},
            )
