"""Parts to one file, in order; holds no more than one part's tail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotplate.batch.layout import Layout, Sink, Source
    from hotplate.manifest.schema import Manifest

__all__ = ["extension", "finish"]


def finish(parts: Iterable[Source], layout: Layout, manifest: Manifest, sink: Sink) -> None:
    """Write the file of predictions.

    Args:
        parts: Of `predict_chunk`, in the order of their chunks; the rest of a chunk behind its beginning. Of
            NPY and NPZ they are gone through once for each array, so give a list of those.
        layout: Of the input.
        manifest: Of the model that was asked.
        sink: Gets the file.

    Raises:
        UnreadableFileError: A part is not one.
    """
    raise NotImplementedError


def extension(layout: Layout) -> str:
    """Return how the name of the file of predictions ends: `csv`, `jsonl`, `parquet` or `npz`."""
    return "npz" if layout.format == "npy" else layout.format
