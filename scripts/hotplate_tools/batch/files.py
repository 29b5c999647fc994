"""Files into a stack's data bucket, and what became of them out of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotplate.aws.batch_files import SIDECAR, ObjectWriter, read_key
from hotplate.aws.faults import s3_faults
from hotplate.errors import StoreNotFoundError
from hotplate.tenants.folders import folder_of
from hotplate_tools.batch.archive import files_of_folder, files_of_prefix, pack
from hotplate_tools.failures import FailedError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate_tools.batch.archive import Entry
    from hotplate_tools.batch.stack import BatchOfStack
    from hotplate_tools.console import Console

__all__ = ["Given", "given_file", "is_there", "put", "save", "whole"]

_S3 = "s3://"


class Given:
    """What is to be predicted: a local file, an object, or many of either, which become one archive.

    Attributes:
        name: Of the file.
        path: Where it is here; None for an object.
        bucket, key: Where the object is.
        size: In bytes.
        entries: The files of a folder or a prefix; empty for one file.
    """

    def __init__(
        self,
        name: str,
        size: int,
        *,
        path: Path | None = None,
        at: tuple[str, str] = ("", ""),
        entries: Sequence[Entry] = (),
    ) -> None:
        self.name, self.size, self.path, self.entries = name, size, path, entries
        self.bucket, self.key = at


def given_file(stack: BatchOfStack, text: str) -> Given:
    """Return what a command's FILE is.

    Raises:
        RefusedError: There is no such file, or nothing in the folder or under the prefix.
        StoreError: The object cannot be read, or the prefix not be listed.
    """
    if not text.startswith(_S3):
        path = Path(text)
        if path.is_dir():
            return _archive(text, path.resolve().name, files_of_folder(path))
        if not path.is_file():
            raise RefusedError(f"no file {text!r}")
        return Given(path.name, path.stat().st_size, path=path)
    bucket, slash, key = text.removeprefix(_S3).partition("/")
    if not bucket or not slash:
        raise RefusedError(
            f"{text!r} names no object", advice="It is s3://BUCKET/KEY, or s3://BUCKET/PREFIX/."
        )
    name = key.rpartition("/")[2]
    if not name:
        folder = key.rstrip("/").rpartition("/")[2] or bucket
        return _archive(text, folder, files_of_prefix(stack, bucket, key))
    with s3_faults(bucket, key):
        size = stack.s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
    return Given(name, size, at=(bucket, key))


def _archive(text: str, name: str, entries: Sequence[Entry]) -> Given:
    if not entries:
        raise RefusedError(f"there are no files in {text!r}")
    return Given(f"{name}.zip", sum(each.size for each in entries), entries=entries)


def key_of(stack: BatchOfStack, given: Given, model: str, tenant: str) -> str:
    """Return where it goes; what lies where inputs lie already stays there.

    Raises:
        RefusedError: It lies among another model's inputs.
    """
    if given.bucket == stack.bucket and (named := read_key(given.key)) is not None:
        if named.model != model:
            raise RefusedError(f"{given.key} is an input of {named.model!r}, not of {model!r}")
        return given.key
    return f"in/{folder_of(tenant)}/{model}/{given.name}"


def put(
    stack: BatchOfStack, given: Given, key: str, options: Mapping[str, Any], console: Console
) -> tuple[str, str | None]:
    """Put a file, and its options before it, where it is predicted.

    Returns: Its entity tag; and the options as they lie beside it, None if whatever lay there stays.

    Raises:
        RefusedError: There are options, and the object lies there already.
        StoreError: The bucket cannot be written.
    """
    stays = (given.bucket, given.key) == (stack.bucket, key)
    if options and stays:
        raise RefusedError(f"{key} is predicted already; options are to be beside a file before it comes")
    with s3_faults(stack.bucket, key + SIDECAR):
        beside = json.dumps(dict(options))
        if options:
            stack.s3.put_object(Bucket=stack.bucket, Key=key + SIDECAR, Body=beside.encode())
        elif not stays:
            # What an earlier file of this name was told would hold for this one too.
            stack.s3.delete_object(Bucket=stack.bucket, Key=key + SIDECAR)
    with s3_faults(stack.bucket, key), console.transfer(given.name, given.size) as advance:
        if given.entries:
            with ObjectWriter(stack.s3, stack.bucket, key, "application/zip") as sink:
                pack(given.entries, sink, advance)
        elif given.path is not None:
            stack.s3.upload_file(str(given.path), stack.bucket, key, Callback=advance)
        elif not stays:
            source = {"Bucket": given.bucket, "Key": given.key}
            stack.s3.copy(source, stack.bucket, key, Callback=advance)  # type: ignore[arg-type]
        etag = stack.s3.head_object(Bucket=stack.bucket, Key=key)["ETag"].strip('"')
        return etag, None if stays else beside


def is_there(stack: BatchOfStack, key: str) -> bool:
    """Return whether an object is there."""
    try:
        with s3_faults(stack.bucket, key):
            stack.s3.head_object(Bucket=stack.bucket, Key=key)
    except StoreNotFoundError:
        return False
    return True


def whole(stack: BatchOfStack, folder: str) -> dict[str, Any]:
    """Return the report of a run.

    Raises:
        StoreError: It cannot be read.
    """
    key = f"{folder}/report.json"
    with s3_faults(stack.bucket, key):
        report: dict[str, Any] = json.loads(stack.s3.get_object(Bucket=stack.bucket, Key=key)["Body"].read())
    return report


def save(stack: BatchOfStack, report: Mapping[str, Any], out: Path, console: Console) -> list[str]:
    """Download what a report names; return the paths.

    Args:
        stack: Where it is.
        report: Of the run.
        out: A folder, for all of it; or a file, for the predictions alone.
        console: For the bars.

    Raises:
        StoreError: It cannot be read.
        FailedError: It cannot be written here.
    """
    files: Mapping[str, Any] = report["files"]
    is_folder = out.is_dir() or not out.suffix
    wanted = {name: each for name, each in files.items() if is_folder or name == "predictions"}
    saved = []
    try:
        (out if is_folder else out.parent).mkdir(parents=True, exist_ok=True)
        for each in wanted.values():
            path = out / Path(each["key"]).name if is_folder else out
            with s3_faults(stack.bucket, each["key"]), console.transfer(path.name, each["bytes"]) as advance:
                beside = path.with_name(path.name + ".part")
                stack.s3.download_file(stack.bucket, each["key"], str(beside), Callback=advance)
                shutil.move(beside, path)
            saved.append(str(path))
        if is_folder:
            path = out / "report.json"
            path.write_text(json.dumps(report, indent=2))
            saved.append(str(path))
    except OSError as fault:
        raise FailedError(f"{out}: {fault}") from fault
    return saved
