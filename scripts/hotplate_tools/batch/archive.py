"""Folders and prefixes as one object: a ZIP archive of their files, stored, in the order of their names.

The same files give the same bytes, so the same folder is the same run. Nothing is written to this machine's
disk, and one block of a file is held at a time.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hotplate.aws.faults import s3_faults
from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hotplate.aws.batch_files import ObjectWriter
    from hotplate_tools.batch.stack import BatchOfStack

__all__ = ["Entry", "files_of_folder", "files_of_prefix", "pack"]

_BLOCK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive.

    Attributes:
        name: In it, with `/` between folders.
        size: In bytes, as it was when it was looked for.
        blocks: Gives what it holds.
    """

    name: str
    size: int
    blocks: Callable[[], Iterator[bytes]]


def files_of_folder(folder: Path) -> list[Entry]:
    """Return the files in a folder and those below it, without hidden ones, by name."""

    def blocks(path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block

    found = [
        Entry(path.relative_to(folder).as_posix(), path.stat().st_size, lambda path=path: blocks(path))  # type: ignore[misc]
        for path in folder.rglob("*")
        if path.is_file() and not _is_hidden(path.relative_to(folder).as_posix())
    ]
    return sorted(found, key=lambda entry: entry.name)


def files_of_prefix(stack: BatchOfStack, bucket: str, prefix: str) -> list[Entry]:
    """Return the objects under a prefix, without hidden ones, by key.

    Raises:
        StoreError: They cannot be listed.
    """

    def blocks(key: str) -> Iterator[bytes]:
        with s3_faults(bucket, key):
            yield from stack.s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_BLOCK_BYTES)

    found = []
    with s3_faults(bucket, prefix):
        for page in stack.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for each in page.get("Contents", []):
                name = each["Key"].removeprefix(prefix)
                if name and not name.endswith("/") and not _is_hidden(name):
                    found.append(Entry(name, each["Size"], lambda key=each["Key"]: blocks(key)))  # type: ignore[misc]
    return sorted(found, key=lambda entry: entry.name)


def pack(entries: Sequence[Entry], sink: ObjectWriter, advance: Callable[[int], object]) -> None:
    """Write the archive of these files; `advance` is told of each block's length.

    Raises:
        FailedError: A file cannot be read.
        StoreError: An object cannot be read, or the archive not be written.
    """
    with zipfile.ZipFile(_Unseekable(sink), "w") as archive:
        for entry in entries:
            # Of no date, so that the same files give the same bytes.
            with archive.open(zipfile.ZipInfo(entry.name), "w", force_zip64=True) as member:
                try:
                    for block in entry.blocks():
                        member.write(block)
                        advance(len(block))
                except OSError as fault:
                    raise FailedError(f"{entry.name}: {fault}") from fault


class _Unseekable(io.RawIOBase):
    """A sink as the file that `zipfile` wants: it is only written to."""

    def __init__(self, sink: ObjectWriter) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return self._sink.write(bytes(data))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
