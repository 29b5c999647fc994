"""What a job is asked and what it answers, as objects of the data bucket: `results/<folder>/<id>/<made>/`.

The folder is the tenant's. An answer is written once: the second to be written, by a worker that did a job
again, is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate.aws.faults import s3_faults
from hotplate.aws.job_queue import JobReference
from hotplate.errors import StoreConflictError
from hotplate.tenants.folders import folder_of, tenant_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from hotplate.aws.job_table import Job

__all__ = ["URL_S", "JobFiles"]

# How long the address of an answer is good, in seconds.
URL_S = 900


class JobFiles:
    """The files of jobs in `bucket`, reached by `client`: `hotplate.aws.clients.signing_client`."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put_request(self, job: Job, body: bytes) -> None:
        """Keep what the job is asked.

        Raises:
            StoreError: The bucket cannot be written.
        """
        key, kind = _key(job, "request.json"), job.headers.get("content-type", "application/json")
        with s3_faults(self._bucket, key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=kind)

    def request_uri(self, job: Job) -> str:
        """Return where that is, as `s3://BUCKET/KEY`; `reference_of` reads it."""
        return f"s3://{self._bucket}/{_key(job, 'request.json')}"

    def reference_of(self, uri: str) -> JobReference:
        """Return the job whose request is at `uri`.

        Raises:
            ValueError: No job's is.
        """
        parts = uri.removeprefix(f"s3://{self._bucket}/").split("/")
        if len(parts) != 5 or (parts[0], parts[4]) != ("results", "request.json"):
            raise ValueError(f"{uri[:200]!r} is no job's request")
        tenant = tenant_of(parts[1])
        if tenant is None:
            raise ValueError(f"{uri[:200]!r} is in nobody's folder")
        return JobReference(tenant, parts[2], parts[3])

    def get_uri(self, uri: str, prefix: str) -> bytes:
        """Return an object of this bucket under `prefix`.

        Raises:
            ValueError: It is elsewhere.
            StoreError: It cannot be read.
        """
        key = uri.removeprefix(f"s3://{self._bucket}/")
        if not key.startswith(prefix):
            raise ValueError(f"{uri[:200]!r} is not under {prefix!r} of {self._bucket!r}")
        return self._get(key)

    def request(self, job: Job) -> bytes:
        """Return what the job is asked.

        Raises:
            StoreError: It cannot be read.
        """
        return self._get(_key(job, "request.json"))

    def put_answer(self, job: Job, body: bytes, content_type: str) -> bool:
        """Keep the job's answer, and return True; False if one is kept already, which stays.

        Raises:
            StoreError: The bucket cannot be written.
        """
        key = _key(job, "answer.json")
        try:
            with s3_faults(self._bucket, key):
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*"
                )
        except StoreConflictError:
            return False
        return True

    def answer(self, job: Job) -> bytes:
        """Return the job's answer.

        Raises:
            StoreError: It cannot be read.
        """
        return self._get(_key(job, "answer.json"))

    def answer_url(self, job: Job) -> str:
        """Return an address that gives the answer to whoever has it, for `URL_S`.

        Raises:
            StoreDeniedError: There are no credentials to sign with.
        """
        key = _key(job, "answer.json")
        with s3_faults(self._bucket, key):
            return self._client.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=URL_S
            )

    def _get(self, key: str) -> bytes:
        with s3_faults(self._bucket, key):
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()


def _key(job: Job, name: str) -> str:
    return f"results/{folder_of(job.tenant)}/{job.id}/{job.made}/{name}"
