"""What a run keeps while it goes on: its model's manifest, the file's layout and chunks, pieces of text."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from hotplate.aws.batch_files import BatchFiles, ObjectSource
from hotplate.batch.join import extension, finish
from hotplate.batch.layout import Chunk, Layout
from hotplate.batch.seekable import MemorySource
from hotplate.batch.split import chunks, find_layout
from hotplate.limits import MAX_MANIFEST_BYTES

if TYPE_CHECKING:
    from hotplate.aws.batch_queue import PieceMessage
    from hotplate.aws.batch_rows import Run
    from hotplate.aws.s3_reader import S3Reader
    from hotplate.batch.layout import BatchOptions, Sink, Source
    from hotplate.manifest.schema import Manifest

__all__ = ["Formats", "RunFiles", "RunPlan"]


@dataclass(frozen=True, slots=True)
class Formats:
    """What knows how files of rows are written: `hotplate.batch`."""

    find_layout: Callable[[Source, str, BatchOptions, Manifest], Layout] = find_layout
    chunks: Callable[[Source, Layout, int, Callable[[Chunk, bytes], None]], Iterator[Chunk]] = chunks
    finish: Callable[[Iterable[Source], Layout, Manifest, Sink], None] = finish
    extension: Callable[[Layout], str] = extension


# Objects that are read ahead of time: so many answers of S3 are waited for at once.
_AHEAD = 8
# Longest file of errors of one piece that is read, in bytes. Ours: a line is a few hundred, a chunk 8 MiB.
MAX_ERRORS_BYTES = 256 * 2**20
# Longest list of chunks that is read, in bytes. Ours: chunks of about a terabyte.
MAX_CHUNKS_BYTES = 64 * 2**20
MAX_PLAN_BYTES = 4 * 2**20
_JSON = "application/json"


class RunPlan(msgspec.Struct, frozen=True):
    """What all pieces of a run have in common."""

    layout: Layout


class RunFiles(BatchFiles):
    """The data bucket, and what runs keep in it; `open_reader` reads it by range for so many seconds."""

    def __init__(self, files: BatchFiles, open_reader: Callable[[], S3Reader]) -> None:
        super().__init__(files.client, files.bucket)
        self._open_reader = open_reader
        # A worker has pieces of one run after another.
        self._last: tuple[str, RunPlan] = ("", RunPlan(Layout("csv", (), (), (), 0, 0)))

    @contextmanager
    def source(self, run: Run) -> Iterator[ObjectSource]:
        """Give the input of a run, as it was when the run began."""
        reader = self._open_reader()
        try:
            yield ObjectSource(reader, run.key, size=run.size, etag=run.etag)
        finally:
            reader.close()

    @contextmanager
    def parts(self, wanted: Sequence[tuple[str, int]], *, once: bool) -> Iterator[Iterable[Source]]:
        """Give parts, by key and length in bytes, in order.

        Args:
            wanted: Of the parts.
            once: Whether they are gone through once: then each is read whole, and some ahead of time.
        """
        reader = self._open_reader()
        try:
            sources = [ObjectSource(reader, key, size=size) for key, size in wanted]
            yield _ahead(partial(_whole, each) for each in sources) if once else sources
        finally:
            reader.close()

    def errors(self, keys: Sequence[str]) -> Iterator[bytes]:
        """Yield what was told of the rows that were set aside, in order."""
        return _ahead(partial(self.get, key, max_bytes=MAX_ERRORS_BYTES) for key in keys)

    def put_manifest(self, run: str, manifest: str) -> None:
        """Keep the manifest of a run's model."""
        self.put(f"work/{run}/manifest.json", manifest.encode(), _JSON)

    def manifest(self, run: str) -> str:
        """Return the manifest of a run's model."""
        return self.get(f"work/{run}/manifest.json", max_bytes=MAX_MANIFEST_BYTES).decode()

    def put_plan(self, run: str, plan: RunPlan) -> None:
        """Keep what a run's pieces have in common."""
        self.put(f"work/{run}/plan.json", msgspec.json.encode(plan), _JSON)

    def plan(self, run: str) -> RunPlan:
        """Return what a run's pieces have in common."""
        if self._last[0] != run:
            raw = self.get(f"work/{run}/plan.json", max_bytes=MAX_PLAN_BYTES)
            self._last = run, msgspec.json.decode(raw, type=RunPlan)
        return self._last[1]

    def put_chunks(self, run: str, chunks: list[Chunk]) -> None:
        """Keep the list of a run's chunks."""
        self.put(f"work/{run}/chunks.jsonl", msgspec.json.Encoder().encode_lines(chunks))

    def chunks(self, run: str) -> list[Chunk]:
        """Return a run's chunks."""
        raw = self.get(f"work/{run}/chunks.jsonl", max_bytes=MAX_CHUNKS_BYTES)
        return msgspec.json.Decoder(Chunk).decode_lines(raw)

    def put_pieces(self, run: Run, pieces: Iterable[PieceMessage]) -> str:
        """Keep what the state machine is to work on in this round, a JSON array; return its key."""
        key = f"work/{run.id}/map/{run.round}.json"
        with self.writer(key, _JSON) as sink:
            before = b"["
            for each in pieces:
                sink.write(before + msgspec.json.encode(each))
                before = b",\n"
            sink.write(b"]" if before != b"[" else b"[]")
        return key

    def put_text(self, run: str, chunk: Chunk, text: bytes) -> None:
        """Keep the unpacked text of a chunk of a compressed file."""
        self.put(self.text_key(run, chunk.number), text)

    @staticmethod
    def text_key(run: str, chunk: int) -> str:
        """Return where the unpacked text of a chunk is."""
        return f"work/{run}/text/{chunk:09d}"


def _whole(source: ObjectSource) -> Source:
    return MemorySource(source.read(0, source.size))


def _ahead[T](tasks: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Yield what the tasks return, in order; some are done ahead of time."""
    flying: deque[Future[T]] = deque()
    with ThreadPoolExecutor(_AHEAD) as pool:
        for task in tasks:
            flying.append(pool.submit(task))
            if len(flying) == _AHEAD:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
