"""Presigned uploads: an address that lets whoever has it put one object, of one length and type, for a while.

Length and type are among the signed headers, so S3 refuses what is sent with others; and it takes no more
bytes than the length says. The address is worth as much as the role that signed it, and no longer than the
role's credentials live.

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate.aws.faults import s3_faults

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["presigned_put"]


def presigned_put(
    client: S3Client, *, bucket: str, key: str, size: int, content_type: str, life_s: int
) -> tuple[str, dict[str, str]]:
    """Return where to put an object, and the headers that must be sent with it.

    Args:
        client: Of `hotplate.aws.clients.signing_client`.
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
