"""Presigned uploads: an address that lets whoever has it put one object, of one length and type, for a while.

Length and type are among the signed headers, so S3 refuses what is sent with others; and it takes no more
bytes than the length says. The address is worth as much as the role that signed it, and no longer than the
role's credentials live.

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from hotplate.aws.faults import s3_faults

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["presigned_put", "signing_client"]


def signing_client() -> S3Client:
    """Return a client that signs for the bucket's own region, and for one host name."""
    elsewhere = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # The redirect from the global host name to the bucket's region would break the signature.
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if elsewhere else "virtual"},
        # Else the signature asks for a checksum, which a plain PUT does not have.
        request_checksum_calculation="when_required",
    )
    return boto3.session.Session().client("s3", endpoint_url=elsewhere, config=config)


def presigned_put(
    client: S3Client, *, bucket: str, key: str, size: int, content_type: str, life_s: int
) -> tuple[str, dict[str, str]]:
    """Return where to put an object, and the headers that must be sent with it.

    Args:
        client: Of `signing_client`.
        bucket: Its bucket.
        key: Its key.
        size: Its length in bytes.
        content_type: Its type.
        life_s: Seconds from now after which no upload may begin.

    Raises:
        StoreDeniedError: There are no credentials to sign with.
    """
    with s3_faults(bucket, key):
        url = client.generate_presigned_url(
            "put_object",
            Params={"Bucket": bucket, "Key": key, "ContentLength": size, "ContentType": content_type},
            ExpiresIn=life_s,
            HttpMethod="PUT",
        )
    return url, {"content-length": str(size), "content-type": content_type}
