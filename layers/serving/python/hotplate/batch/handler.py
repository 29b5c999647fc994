"""What a model's function does with files: reads a piece, predicts it with the loaded model, writes the part.

A part's name is the digest of what was asked, set aside and left over, so whoever does the same again writes
the same bytes to the same place, and who got further writes to another.
"""

from __future__ import annotations

import hashlib
import io
import math
import time
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from hotplate.aws.batch_files import ObjectSource
from hotplate.batch.asked import Described, PieceAnswer, PieceAsked
from hotplate.batch.engine import predict_chunk
from hotplate.batch.report import decode_errors, encode_errors
from hotplate.errors import ModelNotFoundError
from hotplate.manifest.schema import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hotplate.aws.s3_reader import S3Reader
    from hotplate.batch.report import ChunkReport, RowError
    from hotplate.runtime.model import Model

__all__ = ["BatchHandler", "LambdaContext"]

# What of the function's time is kept for writing the part, in seconds, and the longest that predicting may
# take where the function has more: the queue's worker waits 32 s.
_WRITING_S = 6.0
_LONGEST_S = 24.0
# Lambda's word for the function as it is now, which is no version that could be called later.
_UNPUBLISHED = "$LATEST"


class LambdaContext(Protocol):
    """What Lambda tells of an invocation."""

    @property
    def function_version(self) -> str:
        """Of the function."""
        ...

    @property
    def memory_limit_in_mb(self) -> int:
        """Of the function; text on Lambda."""
        ...

    def get_remaining_time_in_millis(self) -> int:
        """Return how long the invocation may go on."""
        ...


class Parts(Protocol):
    """Where parts are written: `hotplate.aws.batch_files.BatchFiles`."""

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        ...


class BatchHandler:
    """Answers what a model's function is asked about files."""

    def __init__(
        self,
        open_reader: Callable[[float], S3Reader],
        parts: Parts,
        predict: Callable[..., ChunkReport] = predict_chunk,
    ) -> None:
        """Make one.

        Args:
            open_reader: Opens a reader of the data bucket for so many seconds.
            parts: Writes to it.
            predict: Does what `predict_chunk` does.
        """
        self._open_reader = open_reader
        self._parts = parts
        self._predict_chunk = predict

    def answer(
        self, asked: Mapping[str, Any], model: Model, context: LambdaContext, init_ms: float
    ) -> dict[str, Any]:
        """Return the answer.

        Args:
            asked: `batch` of the event.
            model: Loaded.
            context: Of this invocation.
            init_ms: What the cold start took, if this is the environment's first answer; else 0.

        Raises:
            ModelNotFoundError: Another version of the model is meant.
            BatchError: The file is not what it was said to be.
            InferenceError: The model fails whatever the rows are.
            StoreError: The file cannot be read, or the part not written.
        """
        if asked.get("ask") == "describe":
            version = "" if context.function_version == _UNPUBLISHED else context.function_version
            described = Described(model.version, version, encode(model.manifest).decode())
            return msgspec.to_builtins(described)  # type: ignore[no-any-return]
        piece = msgspec.convert(asked, PieceAsked)
        if piece.version != model.version:
            raise ModelNotFoundError(
                f"version {piece.version!r} of {model.manifest.name!r} is not served any more; "
                f"{model.version!r} is"
            )
        return msgspec.to_builtins(self._predict(piece, model, context, init_ms))  # type: ignore[no-any-return]

    def _predict(
        self, piece: PieceAsked, model: Model, context: LambdaContext, init_ms: float
    ) -> PieceAnswer:
        started = time.monotonic()
        left_s = context.get_remaining_time_in_millis() / 1000
        reader = self._open_reader(max(1.0, left_s))
        try:
            deadline = started + min(_LONGEST_S, max(0.0, left_s - _WRITING_S))
            report, bad, body = self._predicted(piece, model, reader, deadline)
        finally:
            reader.close()
        errors = encode_errors(bad)
        name = _name(piece, report, body)
        written = {kind: f"work/{piece.run}/{kind}/{name}" for kind in ("parts", "errors")}
        self._parts.put(written["parts"], body)
        if errors:
            self._parts.put(written["errors"], errors)
        return PieceAnswer(
            part=written["parts"],
            errors=written["errors"] if errors else "",
            rows=report.rows,
            predicted=report.predicted,
            bad=report.failed,
            timings_ms={stage: round(seconds * 1000, 1) for stage, seconds in report.seconds.items()},
            # What of a piece is not asked again stays set aside, as it was.
            remainder=None if piece.again else report.remainder,
            bytes_in=_length(piece.chunk) - (_length(report.remainder) if report.remainder else 0),
            bytes_out=len(body),
            billed_ms=math.ceil((time.monotonic() - started) * 1000) + math.ceil(init_ms),
            init_ms=math.ceil(init_ms),
            memory_mb=int(context.memory_limit_in_mb),
            cold=init_ms > 0,
            again=sum(error.again for error in bad),
        )

    def _predicted(
        self, piece: PieceAsked, model: Model, reader: S3Reader, deadline: float
    ) -> tuple[ChunkReport, tuple[RowError, ...], bytes]:
        """Return what became of the rows asked, which of the piece are set aside, and the part."""
        before = piece.again
        bad: tuple[RowError, ...] = ()
        if before is not None:
            errors = ObjectSource(reader, before.errors, size=before.errors_bytes)
            bad = decode_errors(errors.read(0, before.errors_bytes))
        only = None if before is None else [error.row for error in bad if error.again]
        source = ObjectSource(reader, piece.key, size=piece.size, etag=piece.etag)
        part = io.BytesIO()
        report = self._predict_chunk(
            source,
            piece.layout,
            piece.chunk,
            model,
            part,
            deadline=deadline,
            only=only,
            careful=piece.careful,
        )
        if before is None or only is None:
            return report, report.errors, part.getvalue()
        from hotplate.batch.merge import merged

        end = report.remainder.first_row if report.remainder else piece.chunk.first_row + piece.chunk.rows
        told = {error.row: error for error in report.errors}
        mended = {row for row in only if row < end and row not in told}
        rows = np.array([error.row for error in bad])
        places = [row - piece.chunk.first_row - int(np.searchsorted(rows, row)) for row in sorted(mended)]
        old = ObjectSource(reader, before.part, size=before.part_bytes)
        body = bytes(old.read(0, before.part_bytes))
        if mended:
            body = merged(piece.layout, body, part.getvalue(), places)
        return report, tuple(told.get(error.row, error) for error in bad if error.row not in mended), body


def _length(chunk: Any) -> int:
    return int(chunk.stop - chunk.start)


def _name(piece: PieceAsked, report: ChunkReport, body: bytes) -> str:
    # Which rows a model fails on, and the last digit of an answer, may differ from one time to the next.
    before = piece.again.part if piece.again else ""
    digest = hashlib.sha256(body).hexdigest()
    told = msgspec.json.encode([piece.chunk, report.remainder, report.errors, before, digest])
    return f"{piece.chunk.number:09d}-{hashlib.sha256(told).hexdigest()[:16]}"
