"""What a file of rows is and what a chunk of it is: both small, both JSON, both made once by `split`.

A layout says everything about the file that a worker needs, so that no worker reads the file's head again; a
chunk says which rows it is. Rows are numbered from 0, in the file's order; a header is no row, a blank line
of a text is none either.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import msgspec

__all__ = [
    "BatchOptions",
    "Binding",
    "Chunk",
    "Compression",
    "Dialect",
    "Format",
    "Layout",
    "Sink",
    "Source",
    "StoredArray",
]

Format = Literal["csv", "jsonl", "parquet", "npy", "npz", "zip"]
Compression = Literal["none", "gzip", "zstd"]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Source(Protocol):
    """Bytes that can be read by range: an object in S3, a file, memory."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Return bytes `start` to `stop`, not included; both lie within the size.

        Raises:
            StoreError: They could not be had.
        """
        ...


class Sink(Protocol):
    """Where bytes go, in order: a file, a buffer, an upload in parts."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of `data`."""
        ...


class BatchOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the owner of a file may say about it, in `<file>.batch.json` or on the command line.

    Attributes:
        format, compression: None tells them by the name and the first bytes.
        delimiter, quote: One ASCII character each, of CSV; None finds the delimiter, and the quote is `"`.
        header: Whether a CSV file's first record names its columns; None finds out.
        columns: Input by column. Several columns of one input are its elements, in the file's order.
        keep: Columns that go to the output as they are, before the model's.
        outputs: Names of the outputs that are wanted; empty: all.
        batch_rows: Rows in one run of the model; None: the plan's.
        row_numbers: Whether the output begins with the column `row`.
    """

    format: Format | None = None
    compression: Compression | None = None
    delimiter: Annotated[str, msgspec.Meta(pattern=r"^[\x09\x20-\x7e]\Z")] | None = None
    quote: Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]\Z")] | None = None
    header: bool | None = None
    columns: dict[str, str] = msgspec.field(default_factory=dict)
    keep: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    batch_rows: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    row_numbers: bool = False


class Dialect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a CSV file is written; lines end with CR, LF or both, mixed as they come."""

    delimiter: str = ","
    quote: str = '"'
    header: bool = True


class Binding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the elements of one input are.

    Attributes:
        input: The input's name.
        columns: Places of the columns in the file, from 0; of JSON Lines, places in the layout's `columns`.
        whole: Whether one column holds the whole value of a row: a number, a text, or an array of them. Else
            each column holds one element.
    """

    input: str
    columns: tuple[int, ...]
    whole: bool


class StoredArray(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An array inside an NPY or NPZ file: where its first element lies, its dtype and shape."""

    name: str
    start: int
    dtype: str
    shape: tuple[int, ...]


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything about a file that its chunks have in common.

    Attributes:
        format, compression, dialect: How it is written.
        columns: Names of its columns, in its order; of JSON Lines, the members that are read.
        bindings: Where the model's inputs are.
        keep: Places of the columns that are kept.
        outputs: Names of the outputs that are wanted, in the manifest's order.
        start, stop: The bytes in which the rows lie, without a header or a byte order mark.
        options: As given.
        arrays: Of NPY and NPZ.
        schema: Where a Parquet file's schema lies in it, from and to.
        rows: How many there are, where the file says that itself.
    """

    format: Format
    columns: tuple[str, ...]
    bindings: tuple[Binding, ...]
    outputs: tuple[str, ...]
    start: Count
    stop: Count
    options: BatchOptions = msgspec.field(default_factory=BatchOptions)
    compression: Compression = "none"
    dialect: Dialect | None = None
    keep: tuple[int, ...] = ()
    arrays: tuple[StoredArray, ...] = ()
    schema: tuple[int, int] | None = None
    rows: int | None = None

    @property
    def written(self) -> Format:
        """The format of the predictions."""
        written: dict[Format, Format] = {"npy": "npz", "zip": "jsonl"}
        return written.get(self.format, self.format)


class Chunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rows that one worker predicts.

    Attributes:
        number: Its place among the chunks, from 0. The rest of one has the same.
        start, stop: Its bytes in the file, or in its own piece if the file is compressed. Of Parquet, the
            bytes of its row groups.
        first_row: Number of its first row.
        rows: How many there are.
        is_piece: Whether the file is compressed, so that the bytes are those that `split` gave out for it.
        groups: Of Parquet: where the descriptions of its row groups lie in the file, from and to; of ZIP:
            the records of its files.
        skip: Of Parquet: how many rows of the first group belong to others, before these.
    """

    number: Count
    start: Count
    stop: Count
    first_row: Count
    rows: Count
    is_piece: bool = False
    groups: tuple[tuple[int, int], ...] = ()
    skip: Count = 0
