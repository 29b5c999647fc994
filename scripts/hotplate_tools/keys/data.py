"""`hotplate data`: what was kept of callers' requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.console import Console
from hotplate_tools.options import as_json_option, stack_options

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from hotplate_tools.deployed import DeployedStack

__all__ = ["data", "delete_under"]


@click.group()
def data() -> None:
    """Delete what a stack has kept of requests (parameter CaptureShare)."""


@data.command("delete-by-subject")
@click.argument("tenant")
@click.argument("subject")
@click.option("--dry-run", is_flag=True, help="Count what would be deleted, and delete nothing.")
@stack_options
@as_json_option
def delete_by_subject(
    tenant: str,
    subject: str,
    *,
    dry_run: bool,
    stack: DeployedStack,
    as_json: bool,
) -> None:
    """Delete all that was kept of TENANT's requests about SUBJECT, as they said in Hotplate-Subject."""
    from hotplate.tenants.captures import subject_prefix

    if not subject:
        raise click.BadParameter("is empty", param_hint="SUBJECT")
    bucket = stack.outputs("DataBucketName")["DataBucketName"]
    count = delete_under(stack.client("s3"), bucket, subject_prefix(tenant, subject), dry_run=dry_run)
    value: dict[str, Any] = {"tenant": tenant, "objects": count, "deleted": not dry_run}
    words = "would be deleted" if dry_run else "are deleted"
    Console(as_json=as_json).result(value, f"{count} requests about this subject of {tenant} {words}")


def delete_under(client: S3Client, bucket: str, prefix: str, *, dry_run: bool) -> int:
    """Delete all objects under a prefix, and return how many there were.

    Raises:
        StoreError: They cannot be listed or deleted.
    """
    from hotplate.aws.faults import s3_faults
    from hotplate.errors import StoreError

    count = 0
    with s3_faults(bucket, prefix):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
            count += len(keys)
            if not keys or dry_run:
                continue
            done = client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})  # type: ignore[typeddict-item]
            if left := done.get("Errors"):
                raise StoreError(f"s3://{bucket}/{prefix}: {len(left)} objects could not be deleted")
    return count
