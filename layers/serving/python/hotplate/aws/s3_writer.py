"""Puts one object, and gives an address to fetch it by: what a model's function needs for a large answer.

By the standard library's client and our signature: a model's function has no boto3. A PUT is
made again after a passing fault, because it puts the same.

Source: Amazon S3 API Reference, "PutObject"; "Sharing objects with presigned URLs".
"""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from hotplate.aws.roots import Trust
from hotplate.aws.s3_reader import bucket_address
from hotplate.aws.sigv4 import presigned_query, signed_headers
from hotplate.errors import StoreDeniedError, StoreError, StoreUnavailableError
from hotplate.limits import STORE_ATTEMPTS, STORE_BACKOFF_S

if TYPE_CHECKING:
    from hotplate.aws.sigv4 import Credentials

__all__ = ["S3Writer"]

# Longest silence, in seconds.
_SILENCE_S = 5.0


class S3Writer:
    """Puts objects into `bucket`."""

    def __init__(self, *, bucket: str, region: str, endpoint: str | None, credentials: Credentials) -> None:
        """Take where and by whose rights; the arguments are those of `S3Reader`."""
        self._scheme, self._host, self._prefix = bucket_address(bucket, region, endpoint)
        self._region, self._credentials = region, credentials
        self._trust = Trust() if self._scheme == "https" else None

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Put an object.

        Raises:
            StoreDeniedError: Not allowed.
            StoreUnavailableError: S3 is slow or away, also after all tries.
            StoreError: S3 refuses it.
        """
        pause, last = STORE_BACKOFF_S, ""
        for attempt in range(1, STORE_ATTEMPTS + 1):
            try:
                status = self._put(self._prefix + quote(key), body, content_type)
            except (OSError, http.client.HTTPException) as fault:
                last = repr(fault)
            else:
                if status == http.client.OK:
                    return
                if status in (http.client.FORBIDDEN, http.client.UNAUTHORIZED):
                    raise StoreDeniedError(f"{key}: access denied")
                if status < 500 and status != http.client.TOO_MANY_REQUESTS:
                    raise StoreError(f"{key}: S3 answered {status}")
                last = f"S3 answered {status}"
            if attempt < STORE_ATTEMPTS:
                time.sleep(pause)
                pause *= 2
        raise StoreUnavailableError(f"{key}: gave up at attempt {STORE_ATTEMPTS}: {last}")

    def url(self, key: str, *, life_s: int) -> str:
        """Return an address that gives the object to whoever has it, for `life_s` seconds."""
        path = self._prefix + quote(key)
        query = presigned_query(
            self._credentials, host=self._host, path=path, region=self._region, life_s=life_s
        )
        return f"{self._scheme}://{self._host}{path}?{query}"

    def _put(self, path: str, body: bytes, content_type: str) -> int:
        connection = self._connection()
        headers = signed_headers(
            self._credentials,
            host=self._host,
            path=path,
            region=self._region,
            extra={"content-type": content_type},
            method="PUT",
            body=body,
        )
        try:
            connection.request("PUT", path, body=body, headers=headers)
            answer = connection.getresponse()
            answer.read()
            return int(answer.status)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._trust is None:
            return http.client.HTTPConnection(self._host, timeout=_SILENCE_S)
        from hotplate.aws.https import TrustedConnection

        return TrustedConnection(self._host, self._trust, timeout=_SILENCE_S)
