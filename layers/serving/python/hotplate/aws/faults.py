"""boto3's errors become ours here, and nowhere else.

Mapped by HTTP status and error code, never by message text. The message of ours says the key, the
code and S3's own words; never a credential.

Source: Amazon S3 API Reference, "Error responses"; botocore.exceptions.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from hotplate.errors import (
    DigestMismatchError,
    StoreConflictError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kms_faults", "s3_faults", "status_of", "table_faults"]

# Both mean that the bytes which arrived are not those whose digest was sent.
_CHECKSUM_CODES = {"BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest"}

# Source: AWS KMS API Reference, "Sign" and "Common Errors". KMS answers 400 for nearly all of them.
_KMS_CODES: dict[str, type[StoreError]] = {
    "AccessDeniedException": StoreDeniedError,
    "NotFoundException": StoreNotFoundError,
    "DependencyTimeoutException": StoreUnavailableError,
    "KeyUnavailableException": StoreUnavailableError,
    "KMSInternalException": StoreUnavailableError,
    "ThrottlingException": StoreUnavailableError,
}

# Source: Amazon DynamoDB API Reference, "Common Errors" and "TransactWriteItems".
_TABLE_CODES: dict[str, type[StoreError]] = {
    "AccessDeniedException": StoreDeniedError,
    "ConditionalCheckFailedException": StoreConflictError,
    "ProvisionedThroughputExceededException": StoreUnavailableError,
    "RequestLimitExceeded": StoreUnavailableError,
    "ResourceNotFoundException": StoreNotFoundError,
    "ThrottlingException": StoreUnavailableError,
    "TransactionCanceledException": StoreUnavailableError,
    "TransactionInProgressException": StoreUnavailableError,
    "UnrecognizedClientException": StoreDeniedError,
}


@contextmanager
def s3_faults(bucket: str, key: str) -> Iterator[None]:
    """Turn what botocore raises inside into a `StoreError` (or `DigestMismatchError`)."""
    try:
        yield
    except ClientError as fault:
        raise _of_answer(fault, bucket, key) from fault
    except (NoCredentialsError, PartialCredentialsError) as fault:
        raise StoreDeniedError(f"s3://{bucket}/{key}: {fault}") from fault
    except BotoCoreError as fault:
        raise StoreUnavailableError(f"s3://{bucket}/{key}: {fault}") from fault


@contextmanager
def kms_faults(key: str) -> Iterator[None]:
    """Turn what botocore raises inside, in a call of KMS about `key`, into a `StoreError`."""
    try:
        yield
    except ClientError as fault:
        error = fault.response.get("Error", {})
        what = f"kms:{key}: {error.get('Code', '')} {error.get('Message', '')}".rstrip()
        raise _KMS_CODES.get(error.get("Code", ""), StoreError)(what) from fault
    except (NoCredentialsError, PartialCredentialsError) as fault:
        raise StoreDeniedError(f"kms:{key}: {fault}") from fault
    except BotoCoreError as fault:
        raise StoreUnavailableError(f"kms:{key}: {fault}") from fault


@contextmanager
def table_faults(table: str) -> Iterator[None]:
    """Turn what botocore raises inside, in a call of DynamoDB about `table`, into a `StoreError`."""
    try:
        yield
    except ClientError as fault:
        code = fault.response.get("Error", {}).get("Code", "")
        kind = _TABLE_CODES.get(code, StoreUnavailableError if status_of(fault) >= 500 else StoreError)
        raise kind(f"dynamodb:{table}: {code}") from fault
    except (NoCredentialsError, PartialCredentialsError) as fault:
        raise StoreDeniedError(f"dynamodb:{table}: {fault}") from fault
    except BotoCoreError as fault:
        raise StoreUnavailableError(f"dynamodb:{table}: {fault}") from fault


def status_of(fault: ClientError) -> int:
    """Return the HTTP status of the answer, 0 if it had none."""
    return int(fault.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _of_answer(fault: ClientError, bucket: str, key: str) -> Exception:
    status = status_of(fault)
    error = fault.response.get("Error", {})
    code = error.get("Code", "")
    what = f"s3://{bucket}/{key}: {code} {error.get('Message', '')}".rstrip()
    if code == "NoSuchBucket":
        return StoreError(f"there is no bucket {bucket!r}")
    if code in _CHECKSUM_CODES:
        return DigestMismatchError(what)
    if status == 404:
        return StoreNotFoundError(what)
    if status in (401, 403):
        return StoreDeniedError(what)
    if status in (409, 412):
        return StoreConflictError(what)
    if status == 429 or status >= 500:
        return StoreUnavailableError(what)
    return StoreError(what)
