"""What became of a chunk."""

from __future__ import annotations

from typing import Annotated

import msgspec

from hotplate.batch.layout import Chunk

__all__ = ["ChunkReport", "RowError", "decode_errors", "encode_errors"]

# Characters of a reason. Ours: enough to find the fault, too few to hold a row.
MAX_REASON = 300
# Characters of a file's name. Source: S3's longest key.
MAX_NAME = 1024


class RowError(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row that was set aside.

    Attributes:
        row: Its number in the file.
        reason: What was expected, and of which kind what came was; never the row's own values.
        field: The column, member or tensor, if one is at fault.
        file: Of an archive: the file's name.
        again: Whether it can be asked again as it is: the model failed on it, and did not refuse it.
    """

    row: Annotated[int, msgspec.Meta(ge=0)]
    reason: str
    field: str = ""
    file: str = ""
    again: bool = False


class ChunkReport(msgspec.Struct, frozen=True):
    """What became of a chunk's rows: `rows == predicted + failed`, without those of the remainder.

    Attributes:
        rows, predicted, failed: Counts.
        errors: Of each failed row, by number.
        seconds: What each stage took: `read`, `decode`, `predict`, `encode`, and `total` from beginning to
            end. The stages run beside each other, so they do not add up to it.
        remainder: The rows for which there was no time; None if there are none.
    """

    rows: int
    predicted: int
    failed: int
    errors: tuple[RowError, ...]
    seconds: dict[str, float]
    remainder: Chunk | None = None


def encode_errors(errors: tuple[RowError, ...]) -> bytes:
    """Return one JSON object a line, in the order given: what `errors.jsonl` is joined of."""
    return msgspec.json.Encoder().encode_lines(errors)


def decode_errors(lines: bytes | memoryview) -> tuple[RowError, ...]:
    """Return what `encode_errors` wrote."""
    return tuple(msgspec.json.Decoder(RowError).decode_lines(lines))
