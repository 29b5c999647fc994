"""Reads what an input refers to: the caller's own upload, of the right length, or a refusal.

Imported by the first request that refers to something.

Rules kept, in this order:

1. Whose it is is told from the reference alone, before S3 is asked.
2. No more is read than fits: the length that S3 announces is compared before a byte of the body is read.
3. What S3 refuses is not there: a role that may not list a bucket is told 403 of an object that is missing.
   A right that the role lacks looks the same to the caller, so it is in the log.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from hotplate.errors import (
    InputNotFoundError,
    LengthMismatchError,
    PayloadTooLargeError,
    ShapeMismatchError,
    StoreDeniedError,
    StoreNotFoundError,
)
from hotplate.limits import MAX_UPLOAD_BYTES
from hotplate.observability import fault_log
from hotplate.tenants.uploads import own_key
from hotplate.tenants.usage import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplate.aws.s3_reader import S3Reader
    from hotplate.protocol.references import Reference

__all__ = ["read_reference"]


def read_reference(
    reference: Reference, *, bucket: str, tenant: str | None, open_reader: Callable[[], S3Reader]
) -> memoryview:
    """Return the object's bytes, read-only.

    Args:
        reference: What is referred to, and how long it must be.
        bucket: The stack's data bucket.
        tenant: Who asks; None where nobody is asked who it is.
        open_reader: Returns a reader of that bucket, whose deadline begins now; closed here.

    Raises:
        ForeignInputError: It is not the caller's upload.
        InputNotFoundError: It is not there.
        ShapeMismatchError: It is longer or shorter than the input.
        PayloadTooLargeError: It is longer than what may still be read for this request.
        StoreUnavailableError: S3 is slow or away.
    """
    key = own_key(reference.uri, bucket=bucket, tenant=tenant or INTERNAL, what=reference.what)
    try:
        with closing(open_reader()) as reader:
            return _read(reader, key, reference)
    except LengthMismatchError as fault:
        raise _misfit(reference, fault.length) from fault
    except (StoreDeniedError, StoreNotFoundError) as fault:
        if isinstance(fault, StoreDeniedError):
            fault_log().warning("an upload cannot be read", error=str(fault))
        raise InputNotFoundError(
            reference.what,
            expected="an upload that was put within the last day",
            received="nothing at this address: it was never put, or it has expired",
        ) from fault


def _read(reader: S3Reader, key: str, reference: Reference) -> memoryview:
    if not reference.size:
        most = reference.most if reference.size is None else 0
        return memoryview(reader.read_small(key, max_bytes=most))
    body = bytearray(reference.size)
    reader.read_range(key, start=0, into=memoryview(body), object_bytes=reference.size)
    return memoryview(body).toreadonly()


def _misfit(reference: Reference, length: int | None) -> ShapeMismatchError | PayloadTooLargeError:
    received = f"an object of {length} bytes"
    if reference.size is None:
        expected = f"at most {MAX_UPLOAD_BYTES} bytes by reference in one request"
        return PayloadTooLargeError(reference.what, expected=expected, received=received)
    expected = f"{reference.size} bytes, which are datatype and shape of the input"
    return ShapeMismatchError(reference.what, expected=expected, received=received)
