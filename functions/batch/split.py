"""Begins runs: an object was created, its layout and its chunks are found, each chunk gets a message.

Of a run with many chunks the messages are not sent, but written into one object, over which the state machine
goes; what that has not done when it ends is sent.

What is found is written before it is said in the table, and said before messages are sent. Whoever does any
of it again finds what is there: a run has one list of chunks, and a message more does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from functions.batch.files import Formats, RunFiles, RunPlan
from hotplate.aws.batch_files import InputKey, read_key
from hotplate.aws.batch_queue import Created, PieceMessage, RunMessage
from hotplate.aws.batch_rows import Run, run_id
from hotplate.batch.layout import BatchOptions, Chunk
from hotplate.errors import (
    BatchError,
    BatchRunNotFoundError,
    ModelNotFoundError,
    StoreConflictError,
    UnfitFileError,
)
from hotplate.manifest.schema import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functions.batch.models import FileModels
    from functions.batch.reports import Reports
    from hotplate.aws.batch_map import ChunkMap
    from hotplate.aws.batch_queue import BatchQueue
    from hotplate.aws.batch_rows import Piece
    from hotplate.aws.batch_table import BatchTable

__all__ = ["Splitter"]

# Bytes of one chunk. Ours: a chunk of a small model is done within a second or two, one of a model that takes
# longer than a function may is gone on with where it ended.
CHUNK_BYTES = 8 * 2**20


class Splitter:
    """Begins runs, and sends messages of what of them is to be done."""

    def __init__(
        self,
        table: BatchTable,
        files: RunFiles,
        queue: BatchQueue,
        models: FileModels,
        reports: Reports,
        chunk_map: ChunkMap,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        formats: Formats | None = None,
    ) -> None:
        self._table = table
        self._files = files
        self._queue = queue
        self._models = models
        self._reports = reports
        self._map = chunk_map
        self._chunk_bytes = chunk_bytes
        self._formats = formats or Formats()

    def created(self, found: Created) -> Run | None:
        """Begin the run of an object; None if it is no input.

        Raises:
            StepError: The model does not say what it is.
            StoreError: Table, bucket or queue are not to be had.
        """
        named = self._named(found)
        if named is None or self._files.etag(found.key) != found.etag:
            return None  # also of one that was replaced or removed since: its event came late, or again
        before = self._table.latest(found.key)
        run = self._begin(found, named)
        self._table.point(run)
        if run.state == "succeeded" and before != (run.id, run.etag):
            # What was there before came back, and its predictions are overwritten: its parts are still there.
            run = self._table.again(run, well=True) or run
        if run.state in ("splitting", "running"):
            self.split(run)
        return run

    def split(self, run: Run) -> None:
        """Find a run's chunks and send what is to be done; what of that is done is left as it is.

        Raises:
            StoreError: Table, bucket or queue are not to be had.
        """
        if run.state == "splitting":
            try:
                count = self._find(run)
            except (BatchError, StoreConflictError) as fault:
                self._fail(run, str(fault))
                return
            run = self._table.planned(run, chunks=count) or self._table.get(run.id)
        if run.state != "running":
            return
        if not run.sent:
            self._table.sent(run, mapped=self._hand_out(run))
        if run.is_complete:
            self._queue.send([RunMessage("finish", run.id, run.round)])

    def again(self, message: RunMessage) -> None:
        """Go on with a run where it was left, unless it is in another round, or gone.

        Raises:
            StoreError: Table, bucket or queue are not to be had.
        """
        run = self._wanted(message)
        if run is not None:
            self.split(run)

    def missed(self, message: RunMessage) -> None:
        """Send what the state machine, which has ended, has not done; as a rule that is nothing.

        Raises:
            StoreError: Table, bucket or queue are not to be had.
        """
        run = self._wanted(message)
        if run is not None and run.state == "running":
            self._queue.send(self._left(run))
            if run.is_complete:
                self._queue.send([RunMessage("finish", run.id, run.round)])

    def give_up(self, message: RunMessage, reason: str) -> None:
        """End a run that could not be split.

        Raises:
            StoreError: Table or bucket are not to be had.
        """
        run = self._wanted(message)
        if run is not None:
            self._fail(run, reason)

    def _hand_out(self, run: Run) -> bool:
        """Have what is left of a run worked on; return whether the state machine does it."""
        if run.chunks - run.done <= self._map.above:
            self._queue.send(self._left(run))
            return False
        self._map.start(run, self._files.bucket, self._files.put_pieces(run, self._left(run)))
        return True

    def _wanted(self, message: RunMessage) -> Run | None:
        try:
            run = self._table.get(message.run)
        except BatchRunNotFoundError:
            return None
        return run if run.round == message.round else None

    def refuse(self, found: Created, reason: str) -> None:
        """End the run of an object whose message came too often."""
        named = self._named(found)
        if named is not None and self._files.etag(found.key) == found.etag:
            run = self._table.begin(self._run(found, named, version="", function="", options="{}"))
            self._table.point(run)
            self._fail(run, reason)

    def _named(self, found: Created) -> InputKey | None:
        """Return what an input's key says; None of what is none, or lies in another bucket."""
        named = read_key(found.key) if found.bucket == self._files.bucket else None
        return None if named is None or named.is_options else named

    def _begin(self, found: Created, named: InputKey) -> Run:
        """Return the run, new or there already; one that cannot be begun has ended."""
        raw = self._files.options(found.key)
        text = raw.decode(errors="replace")
        if named.model not in self._models.names:
            fault = f"unknown model {named.model[:80]!r}; this stack has: {', '.join(self._models.names)}"
            return self._ended(self._run(found, named, version="", function="", options=text), fault)
        described = self._models.describe(named.model, named.tenant)
        run = self._run(found, named, version=described.version, function=described.function, options=text)
        try:
            _, wanted = read_options(raw)
            if wanted not in ("", described.version):
                raise ModelNotFoundError(f"version {wanted[:80]!r} is not served; {described.version!r} is")
        except (BatchError, ModelNotFoundError) as fault:
            return self._ended(run, str(fault))
        self._files.put_manifest(run.id, described.manifest)
        return self._table.begin(run)

    def _run(self, found: Created, named: InputKey, *, version: str, function: str, options: str) -> Run:
        name = run_id(
            bucket=self._files.bucket,
            key=found.key,
            etag=found.etag,
            size=found.size,
            model=named.model,
            version=version,
            options=options,
        )
        return Run(
            id=name,
            tenant=named.tenant,
            model=named.model,
            version=version,
            function=function,
            key=found.key,
            etag=found.etag,
            size=found.size,
            options=options,
        )

    def _ended(self, run: Run, reason: str) -> Run:
        """Return a run that has ended before it began: it has no version."""
        begun = self._table.begin(msgspec.structs.replace(run, version=""))
        self._table.point(begun)
        if begun.state == "splitting":
            self._fail(begun, reason)
            return self._table.get(run.id)
        return begun

    def _fail(self, run: Run, reason: str) -> None:
        ended = self._table.fail(run, reason) or self._table.get(run.id)
        latest = self._table.latest(run.key)
        # The folder of its predictions belongs to what lies there now; and a run that succeeded keeps them,
        # though its rows cannot be asked again.
        is_its = latest is None or latest[0] == run.id
        if ended.state == "failed" and is_its and not run.is_again:
            self._reports.remove_others(ended, {})
            self._reports.write(ended, [])

    def _find(self, run: Run) -> int:
        """Write layout and chunks of a run; return how many chunks there are.

        Raises:
            BatchError: The file is none that can be predicted.
        """
        options, _ = read_options(run.options.encode())
        manifest = self._files.manifest(run.id)
        with self._files.source(run) as source:
            name = run.key.rpartition("/")[2]
            layout = self._formats.find_layout(source, name, options, decode(manifest.encode()))
            self._files.put_plan(run.id, RunPlan(layout))
            found = list(
                self._formats.chunks(
                    source,
                    layout,
                    self._chunk_bytes,
                    lambda chunk, piece: self._files.put_text(run.id, chunk, piece),
                )
            )
        self._files.put_chunks(run.id, found)
        return len(found)

    def _left(self, run: Run) -> Iterator[PieceMessage]:
        """Yield what of a run is to be done: of another what is missing, failed or asked again."""
        if run.is_again:
            for each in self._table.pieces(run.id):
                if each.again and each.round < run.round:
                    yield PieceMessage(run.id, each.chunk, each.piece, run.round, each.work)
            return
        last: dict[int, Piece] = {each.chunk: each for each in self._table.pieces(run.id)}
        for chunk in self._files.chunks(run.id):
            found = last.get(chunk.number)
            if found is None:
                yield PieceMessage(run.id, chunk.number, 0, run.round, encode_chunk(chunk))
            elif found.state == "failed":
                if found.round < run.round:
                    yield PieceMessage(run.id, chunk.number, found.piece, run.round, found.work)
            elif found.remainder:
                yield PieceMessage(run.id, chunk.number, found.piece + 1, run.round, found.remainder)


def encode_chunk(chunk: Chunk) -> str:
    """Return a chunk as messages have it."""
    return msgspec.json.encode(chunk).decode()


def read_options(raw: bytes) -> tuple[BatchOptions, str]:
    """Return the options of a file, and the version of the model that it wants ("" for whichever).

    Raises:
        UnfitFileError: They are none.
    """
    try:
        found = msgspec.json.decode(raw, type=dict[str, object])
        version = found.pop("version", "")
        if not isinstance(version, str):
            raise UnfitFileError("the options: `version` is no text")
        return msgspec.convert(found, BatchOptions), version
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise UnfitFileError(f"the options: {str(fault)[:200]}") from fault
