"""What a model's function is asked about files, and what it answers: JSON, under `batch` of event and result.

`{"ask": "describe"}` is answered by `Described`; a `PieceAsked` by a `PieceAnswer`. Instead of either there
may be `{"fault": …}`, a `Fault`.
"""

from __future__ import annotations

import msgspec

from hotplate.batch.layout import Chunk, Layout

__all__ = ["Before", "Described", "Fault", "PieceAnswer", "PieceAsked"]


class Described(msgspec.Struct, frozen=True):
    """What is served.

    Attributes:
        version: Of the model.
        function: Version of the Lambda function; "" where it has none.
        manifest: Of the model's version, JSON.
    """

    version: str
    function: str
    manifest: str


class Before(msgspec.Struct, frozen=True):
    """What came of a piece: keys and lengths in bytes of its part and of its errors."""

    part: str
    part_bytes: int
    errors: str
    errors_bytes: int


class PieceAsked(msgspec.Struct, frozen=True, tag_field="ask", tag="piece"):
    """A piece of a chunk that is to be predicted.

    Attributes:
        run: Id of the run; what is written lies under it.
        version: Of the model; another one refuses.
        key, etag, size: The object to read, its entity tag ("": whichever) and its length in bytes.
        layout: Of the file.
        chunk: What of it to predict.
        careful: Whether its message came before, so that a process may have ended with it.
        again: What came of it before; then only the rows are asked on which the model failed.
    """

    run: str
    version: str
    key: str
    etag: str
    size: int
    layout: Layout
    chunk: Chunk
    again: Before | None = None
    careful: bool = False


class PieceAnswer(msgspec.Struct, frozen=True):
    """What became of a piece.

    Attributes:
        part, errors: Keys of what was written; "" for nothing.
        rows, predicted, bad: As a `ChunkReport` has them; of a piece that is asked again, of the rows asked.
        again: How many of the bad can be asked again.
        timings_ms: Of the engine, by stage.
        remainder: What there was no time for.
        bytes_in, bytes_out: That the piece has in the file, and its part.
        billed_ms, init_ms, memory_mb, cold: As in a usage line.
    """

    part: str
    errors: str
    rows: int
    predicted: int
    bad: int
    timings_ms: dict[str, float]
    remainder: Chunk | None
    bytes_in: int
    bytes_out: int
    billed_ms: int
    init_ms: int
    memory_mb: int
    cold: bool
    again: int = 0


class Fault(msgspec.Struct, frozen=True):
    """Why there is no answer.

    Attributes:
        status: As of an HTTP answer: from 500 on another try may help, below it will not.
        reason: In words, for the owner of the file; no payload.
    """

    status: int
    reason: str
