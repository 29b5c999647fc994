"""Works on pieces: the model's own function predicts one, what comes of it is kept and counted once.

| what comes of it | the piece | the message |
|---|---|---|
| a part | `done`; what is left over gets a message of its own | is done |
| the model's function refuses it | `failed` | is done |
| it fails, or does not answer | nothing yet | comes back; at the last try the piece is `failed` |
| it is busy | nothing yet | is sent anew with a delay, and is no try |
| this worker is killed | nothing, or done | comes back; what is done is not done again |
| the run has ended, or is in another round | as it is | is done |
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import msgspec

from functions.batch.models import PieceRefusedError
from functions.batch.split import encode_chunk
from functions.batch.usage import summed_usage, usage_of, write_usage
from hotplate.aws.batch_queue import PieceMessage, RunMessage
from hotplate.aws.batch_rows import ENDED, Piece
from hotplate.batch.asked import Before, PieceAsked
from hotplate.batch.layout import Chunk
from hotplate.errors import BatchRunNotFoundError, StepUnavailableError

if TYPE_CHECKING:
    from functions.batch.files import RunFiles
    from functions.batch.models import FileModels
    from hotplate.aws.batch_queue import BatchQueue
    from hotplate.aws.batch_rows import Run
    from hotplate.aws.batch_table import BatchTable
    from hotplate.batch.asked import PieceAnswer

__all__ = ["MAX_WAITS", "PieceWorker", "delay_of"]

# How often a piece waits for a model that is busy, and the longest such wait in seconds: four hours in all.
MAX_WAITS = 60
_LONGEST_WAIT_S = 240


class PieceWorker:
    """Works on pieces."""

    def __init__(
        self, table: BatchTable, files: RunFiles, queue: BatchQueue, models: FileModels, *, memory_mb: int
    ) -> None:
        """Make one; `memory_mb` is this function's."""
        self._table = table
        self._files = files
        self._queue = queue
        self._models = models
        self._memory_mb = memory_mb

    def work(self, message: PieceMessage, *, careful: bool) -> None:
        """Have a piece predicted. When this returns, the message is done.

        Args:
            message: Of the piece.
            careful: Whether it came before, so that a process may have ended with it.

        Raises:
            StepError: The model failed; the message is to come again.
            StoreError: Table, bucket or queue are not to be had; likewise.
        """
        try:
            rest = self._step(message, careful=careful)
        except StepUnavailableError as fault:
            self._wait(message, fault)
        else:
            if rest is not None:
                self._queue.send([rest])

    def work_on(self, message: PieceMessage, *, longest_s: float) -> None:
        """Have a piece predicted, and what is left over of its chunk, as long as there is time; then send it.

        No process is believed to have ended with it: the queue, which gets it in the end, knows better.

        Raises:
            StepUnavailableError: The model is busy; the caller is to try again later.
            StepError: The model failed; likewise.
            StoreError: Table, bucket or queue are not to be had; likewise.
        """
        until = time.monotonic() + longest_s
        rest = self._step(message, careful=False)
        while rest is not None and time.monotonic() < until:
            rest = self._step(rest, careful=False)
        if rest is not None:
            self._queue.send([rest])

    def _step(self, message: PieceMessage, *, careful: bool) -> PieceMessage | None:
        """Have a piece predicted; return what is left over of its chunk."""
        run = self._wanted(message)
        if run is None:
            return None
        known = self._table.piece(run.id, message.chunk, message.piece)
        is_open = known is None or known.state == "failed" or (run.is_again and known.again > 0)
        if known is None or (is_open and known.round < message.round):
            known = self._predict(run, message, known, careful=careful)
        return self._go_on(run, known)

    def _wait(self, message: PieceMessage, fault: StepUnavailableError) -> None:
        """Send a message anew whose model is busy, unless it has waited too often."""
        if message.waits >= MAX_WAITS:
            self.give_up(message, str(fault))
            return
        later = msgspec.structs.replace(message, waits=message.waits + 1)
        self._queue.send([later], delay_s=delay_of(message.waits))

    def give_up(self, message: PieceMessage, reason: str) -> None:
        """Say that a piece has failed whose message came too often.

        Raises:
            StoreError: The table is not to be had; the message is to come again.
        """
        run = self._wanted(message)
        if run is not None:
            known = self._table.piece(run.id, message.chunk, message.piece) if run.is_again else None
            self._go_on(run, self._failed(run, message, reason, known))

    def _wanted(self, message: PieceMessage) -> Run | None:
        """Return the run of a message; None if nobody waits for the piece any more."""
        try:
            run = self._table.get(message.run)
        except BatchRunNotFoundError:
            return None
        return run if run.state not in ENDED and run.round == message.round else None

    def _predict(self, run: Run, message: PieceMessage, known: Piece | None, *, careful: bool) -> Piece:
        """Return what became of a piece; of one that is done rows are asked again."""
        was = known if known is not None and known.state == "done" else None
        asked = self._asked(run, message, was, careful=careful)
        started = time.monotonic()
        try:
            answer = self._models.predict(run.model, run.function, run.tenant, asked)
        except PieceRefusedError as fault:
            return self._failed(run, message, str(fault), was)
        waited_ms = math.ceil((time.monotonic() - started) * 1000)
        done = self._done(message, answer, waited_ms)
        return self._kept(run, _together(done, was) if was else done, was)

    def _done(self, message: PieceMessage, answer: PieceAnswer, waited_ms: int) -> Piece:
        return Piece(
            chunk=message.chunk,
            piece=message.piece,
            state="done",
            round=message.round,
            work=message.work,
            part=answer.part,
            errors=answer.errors,
            rows=answer.rows,
            predicted=answer.predicted,
            bad=answer.bad,
            again=answer.again,
            remainder=encode_chunk(answer.remainder) if answer.remainder else "",
            usage=usage_of(answer, at=self._table.now(), worker_ms=waited_ms, worker_mb=self._memory_mb),
            timings_ms=answer.timings_ms,
        )

    def _asked(self, run: Run, message: PieceMessage, was: Piece | None, *, careful: bool) -> PieceAsked:
        chunk = msgspec.json.decode(message.work, type=Chunk)
        key, etag, size = run.key, run.etag, run.size
        if chunk.is_piece:
            key, etag = self._files.text_key(run.id, chunk.number), ""
            size = self._files.size(key)
        layout = self._files.plan(run.id).layout
        again = None
        if was is not None:
            again = Before(was.part, was.usage["bytes_out"], was.errors, self._files.size(was.errors))
        return PieceAsked(run.id, run.version, key, etag, size, layout, chunk, again, careful)

    def _failed(self, run: Run, message: PieceMessage, reason: str, was: Piece | None = None) -> Piece:
        """Keep that a piece failed; one that was done stays so, with why its rows were not asked again."""
        if was is not None:
            return self._kept(run, msgspec.structs.replace(was, round=message.round, reason=reason), was)
        piece = Piece(
            chunk=message.chunk,
            piece=message.piece,
            state="failed",
            round=message.round,
            work=message.work,
            reason=reason,
        )
        return self._kept(run, piece)

    def _kept(self, run: Run, piece: Piece, was: Piece | None = None) -> Piece:
        """Keep a piece; return what is kept, which is another's if that was first."""
        if self._table.mark(run, piece, was):
            return piece
        return self._table.piece(run.id, piece.chunk, piece.piece) or piece

    def _go_on(self, run: Run, piece: Piece) -> PieceMessage | None:
        """Do what follows a piece; return what is left over. Done again, it has the same effect."""
        if piece.state == "done":
            write_usage(run, piece)
            if piece.remainder and not run.is_again:
                return PieceMessage(run.id, piece.chunk, piece.piece + 1, run.round, piece.remainder)
        run = self._table.get(run.id)
        if run.is_complete and run.state == "running":
            self._queue.send([RunMessage("finish", run.id, run.round)])
        return None


def _together(now: Piece, was: Piece) -> Piece:
    """Return a piece of which rows were asked again, with what it had before."""
    return msgspec.structs.replace(
        now,
        rows=was.rows,
        predicted=was.predicted + now.predicted,
        bad=was.bad - now.predicted,
        asked=now.rows,
        asked_in=now.round,
        earlier=summed_usage(was),
        remainder=was.remainder,
        timings_ms={name: ms + was.timings_ms.get(name, 0) for name, ms in now.timings_ms.items()},
    )


def delay_of(waits: int) -> int:
    """Return how many seconds a piece waits for a model that was busy so often before."""
    return min(_LONGEST_WAIT_S, 5 << min(waits, 6))
