"""What `hotplate bench batch` works on: a model in this process, and files of any number of rows for it.

The model is the breast-cancer forest, loaded from a registry as a function loads it, with its function's own
steps. Rows are drawn around its golden rows by one seed, and written a row group at a time.
"""

from __future__ import annotations

import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arro3.core as arrow
import numpy as np
import orjson
from arro3.io import write_csv, write_ndjson, write_parquet

from functions.breast_cancer.model import COLUMNS, postprocess, preprocess
from hotplate.batch.layout import BatchOptions
from hotplate.batch.split import chunks, find_layout
from hotplate.runtime.loader import load_model
from hotplate.runtime.transforms import Transforms
from hotplate.settings import Settings
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.bench.stage import FolderReader
from hotplate_tools.publish.pipeline import publish_model
from hotplate_tools.training.stored import model_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.batch.layout import Chunk, Layout, Source
    from hotplate.runtime.model import Model
    from hotplate_tools.console import Console

    Array = np.ndarray[Any, Any]

__all__ = ["FORMATS", "FileSource", "Rows", "cut", "loaded", "rows_of", "written"]

MODEL = "breast-cancer"
FORMATS = ("parquet", "csv", "jsonl")
# Rows that are drawn and written at once; of Parquet, those of a row group.
GROUP_ROWS = 131_072
_SEED = 7


class FileSource:
    """A file on disk as a source."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        self._file = path.open("rb")
        self.size = path.stat().st_size

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes `start` to `stop`."""
        return os.pread(self._file.fileno(), stop - start, start)


@dataclass(frozen=True, slots=True)
class Rows:
    """A file, cut.

    Attributes:
        layout, chunks: Of `split`.
    """

    layout: Layout
    chunks: list[Chunk]


def loaded(console: Console) -> Model:
    """Return the model, as its function has it."""
    with tempfile.TemporaryDirectory(prefix="hotplate-bench-") as folder:
        published = publish_model(model_folder(MODEL), store=FilesystemStore(Path(folder)), console=console)
        settings = Settings.from_environ(
            {
                "HOTPLATE_MODEL": published.name,
                "HOTPLATE_VERSION": published.version,
                "HOTPLATE_MANIFEST_SHA256": published.manifest_sha256,
                "HOTPLATE_BUCKET": "none",
                "HOTPLATE_UNSIGNED": "allowed-for-development",
            }
        )
        return load_model(settings, FolderReader(Path(folder)), Transforms(preprocess, postprocess))


def rows_of(count: int) -> Iterator[Array]:
    """Yield `count` rows, float32 [N, 30], a group at a time; the first of more are those of fewer."""
    golden = orjson.loads((model_folder(MODEL) / "golden.jsonl").read_bytes().splitlines()[0])
    centre = np.array(golden["inputs"]["features"], np.float32).mean(axis=0)
    for number, first in enumerate(range(0, count, GROUP_ROWS)):
        random = np.random.default_rng((_SEED, number))
        rows = centre * random.lognormal(0, 0.3, (GROUP_ROWS, len(COLUMNS))).astype(np.float32)
        yield rows[: count - first]


def written(path: Path, kind: str, count: int) -> Path:
    """Write `count` rows with an `id` before them and return the file."""
    if kind == "parquet":
        batches = (_batch(first, rows) for first, rows in _numbered(count))
        schema = _batch(0, np.empty((0, len(COLUMNS)), np.float32)).schema
        reader = arrow.RecordBatchReader.from_batches(schema, batches)
        write_parquet(reader, path, compression="snappy", max_row_group_size=GROUP_ROWS)
        return path
    with path.open("wb") as file:
        for first, rows in _numbered(count):
            text = io.BytesIO()
            if kind == "csv":
                write_csv(_batch(first, rows), text, header=first == 0)
            else:
                write_ndjson(_objects(first, rows), text)
            file.write(text.getvalue())
    return path


def cut(source: Source, kind: str, model: Model) -> Rows:
    """Return the layout and the chunks of a file."""
    layout = find_layout(source, f"rows.{kind}", BatchOptions(keep=("id",)), model.manifest)
    return Rows(layout, list(chunks(source, layout)))


def _numbered(count: int) -> Iterator[tuple[int, Array]]:
    for number, rows in enumerate(rows_of(count)):
        yield number * GROUP_ROWS, rows


def _batch(first: int, rows: Array) -> arrow.RecordBatch:
    ids = np.arange(first, first + len(rows))
    features = (np.ascontiguousarray(column) for column in rows.T)
    return arrow.RecordBatch.from_arrays(
        [arrow.Array(ids), *map(arrow.Array, features)], names=["id", *COLUMNS]
    )


def _objects(first: int, rows: Array) -> arrow.Table:
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    features = arrow.list_array(arrow.Array(offsets), arrow.Array(rows.ravel()))
    ids = np.arange(first, first + len(rows))
    return arrow.Table.from_arrays([arrow.Array(ids), features], names=["id", "features"])
