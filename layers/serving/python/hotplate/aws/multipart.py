"""One large file to S3 in parts, at once, kept only if it is whole and nobody was first.

boto3's own transfer manager does not pass `If-None-Match` on, nor compares a digest of the whole
file before it completes; this does both, and is otherwise the same few calls.

An upload that fails is aborted. One whose process is killed leaves parts behind that cost storage
until a lifecycle rule (`AbortIncompleteMultipartUpload`) removes them.

Source: Amazon S3 User Guide, "Uploading and copying objects using multipart upload".
"""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from hotplate.errors import DigestMismatchError
from hotplate.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

__all__ = ["PART_BYTES", "upload_parts"]

# Bytes of a part, and how many are in memory at once. S3 takes 10,000 parts of 5 MiB to 5 GiB, so
# this bounds a file at 160 GB: sixteen times Lambda's memory.
PART_BYTES = 16 * MIB
PARALLEL_PARTS = 4


def upload_parts(
    client: S3Client,
    bucket: str,
    key: str,
    file: Path,
    sha256: str,
    progress: Callable[[int], None] | None,
    *,
    part_bytes: int = PART_BYTES,
) -> None:
    """Write `file` under a new `key`.

    Raises:
        DigestMismatchError: The file's bytes do not have the hex digest `sha256`.
        botocore.exceptions.ClientError: From S3; with status 412 or 409 if the key is (being) written.
    """
    upload = client.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="SHA256")["UploadId"]

    def send(number: int, chunk: bytes) -> CompletedPartTypeDef:
        checksum = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
        answer = client.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=chunk, ChecksumSHA256=checksum
        )
        if progress:
            progress(len(chunk))
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    try:
        parts, digest = _send_all(file, part_bytes, send)
        if digest != sha256:
            raise DigestMismatchError(f"{key}: {file.name} has SHA-256 {digest}, not {sha256}")
        client.complete_multipart_upload(
            Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
        )
    except BaseException:
        # The first error is the one to tell; what an abort cannot remove, the lifecycle rule does.
        with suppress(ClientError, BotoCoreError):
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
        raise


def _send_all(
    file: Path, part_bytes: int, send: Callable[[int, bytes], CompletedPartTypeDef]
) -> tuple[list[CompletedPartTypeDef], str]:
    """Send every part, at most `PARALLEL_PARTS` at once; return what they became and the hex digest."""
    digest = hashlib.sha256()
    parts: list[CompletedPartTypeDef] = []
    flying: deque[Future[CompletedPartTypeDef]] = deque()
    with ThreadPoolExecutor(PARALLEL_PARTS) as pool, file.open("rb") as source:
        number = 0
        while chunk := source.read(part_bytes):
            number += 1
            digest.update(chunk)
            flying.append(pool.submit(send, number, chunk))
            if len(flying) == PARALLEL_PARTS:
                parts.append(flying.popleft().result())
        parts.extend(future.result() for future in flying)
    return parts, digest.hexdigest()
