"""Files to layouts and chunks; reads a file at most once, and holds no more of it than a chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotplate.batch.layout import BatchOptions, Chunk, Layout, Source
    from hotplate.manifest.schema import Manifest

__all__ = ["chunks", "find_layout"]

# Bytes of text, or of columns as they are stored, in one chunk. Ours.
TARGET_BYTES = 16 * 2**20


def find_layout(source: Source, name: str, options: BatchOptions, manifest: Manifest) -> Layout:
    """Return what a file is, from its name, its first bytes and, of Parquet and NPZ, its end.

    Args:
        source: The file.
        name: Its name; `.csv`, `.jsonl`, `.parquet`, `.npy`, `.npz`, maybe `.gz` or `.zst` behind it.
        options: What its owner says.
        manifest: Of the model that is to be asked.

    Raises:
        UnreadableFileError: It is not what it seems to be; says at which byte.
        UnfitFileError: Its columns are not the model's inputs.
    """
    raise NotImplementedError


def chunks(
    source: Source,
    layout: Layout,
    target_bytes: int = TARGET_BYTES,
    stage: Callable[[Chunk, bytes], None] | None = None,
) -> Iterator[Chunk]:
    """Yield the chunks, in order; every row is in exactly one.

    Args:
        source: The file.
        layout: Of `find_layout`.
        target_bytes: About how large a chunk is; it is larger where one row is.
        stage: Takes the bytes of each chunk of a compressed file, before that is yielded: its piece, from
            which a worker is to read it. Never called for others.

    Raises:
        UnreadableFileError: It turns out not to be what it seemed; says at which byte and row.
    """
    raise NotImplementedError
