"""Batch on moto's DynamoDB and S3, with a queue and a model of the test's own, and a clock.

Files are lines, each a whole number, whose prediction is its double; a line that is no number is set aside.
So a run of many rows is quick, and what of it is right is plain. The queue gives messages in any order, gives
them twice if told so, and gives them again when their worker ends without a word.
"""

from __future__ import annotations

import json
import random
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
from moto import mock_aws

from functions.batch.asked import RunRequests
from functions.batch.files import Formats, RunFiles
from functions.batch.finish import Finisher
from functions.batch.mapped import MappedPieces
from functions.batch.messages import TRIES, Messages
from functions.batch.reports import Reports
from functions.batch.split import Splitter
from functions.batch.work import PieceWorker
from hotplate.aws.batch_files import BatchFiles
from hotplate.aws.batch_map import name_of
from hotplate.aws.batch_table import BatchTable
from hotplate.aws.ledger import Ledger
from hotplate.batch.asked import Described, PieceAnswer, PieceAsked
from hotplate.batch.engine import predict_chunk
from hotplate.batch.handler import BatchHandler
from hotplate.batch.layout import BatchOptions, Chunk, Layout
from hotplate.batch.report import ChunkReport, RowError
from hotplate.errors import HotplateError, StoreConflictError, StoreUnavailableError, UnreadableFileError
from hotplate.manifest.schema import encode
from hotplate.runtime.loader import load_model
from hotplate.tenants.usage import read_usage
from tests.support.memory_dynamodb import MemoryDynamodb
from tests.support.published import published
from tests.support.template import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hotplate.aws.batch_rows import Run
    from hotplate.batch.layout import Sink, Source
    from hotplate.runtime.model import Model

BUCKET = "data"
KEY = "in/acme/affine/rows.jsonl"
VERSION = "v1"
REGION = "us-east-1"


class KilledError(BaseException):
    """The worker's process ends here: nothing may catch it."""


@dataclass
class FileContext:
    """What Lambda tells of an invocation."""

    aws_request_id: str = "req-1"
    memory_limit_in_mb: int = 1769
    function_version: str = "$LATEST"

    def get_remaining_time_in_millis(self) -> int:
        return 29_000


def loaded_affine() -> Model:
    """Return a model that doubles `x`, FP32 [n, 3]."""
    version = published()
    return load_model(version.settings, version.reader, None)


@dataclass
class Moments:
    """Every call that leaves the process; ends the process at some of them, before the call or after it."""

    kill_at: set[int] = field(default_factory=set)
    count: int = 0

    def around(self, inner: Any) -> Any:
        """Return `inner`, whose calls are counted."""
        return _Watched(inner, self)

    def pass_one(self) -> None:
        self.count += 1
        if self.count in self.kill_at:
            raise KilledError


class _Watched:
    def __init__(self, inner: Any, moments: Moments) -> None:
        self.inner, self._moments = inner, moments

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found) or name in ("meta", "exceptions", "get_paginator"):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self._moments.pass_one()
            answer = found(*arguments, **named)
            self._moments.pass_one()
            return answer

        return call


@dataclass
class MemoryQueue:
    """A queue that gives what it has in the order that `chance` says, `copies` times each."""

    chance: random.Random
    copies: int = 1
    waiting: list[dict[str, Any]] = field(default_factory=list)
    given_up: list[dict[str, Any]] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    throttled: float = 0.0

    def send(self, messages: Iterable[Any], *, delay_s: int = 0) -> None:
        if self.chance.random() < self.throttled:
            raise StoreUnavailableError("sqs: throttled")
        self.delays.append(delay_s)
        for message in messages:
            self.sent.append(msgspec.json.encode(message).decode())
            self.put(self.sent[-1])

    def hide(self, receipt: str, seconds: int) -> None:
        """Do nothing: a test does not wait."""

    def put(self, body: str) -> None:
        for _ in range(self.copies):
            name = f"m{self.chance.getrandbits(48):012x}"
            self.waiting.append({"id": name, "body": body, "tries": 0})

    def take(self) -> dict[str, Any]:
        return self.waiting.pop(self.chance.randrange(len(self.waiting)))


@dataclass
class MemoryMap:
    """A state machine that gives its items to the queue's test, which takes them in the order of `chance`.

    Attributes:
        above: As of `ChunkMap`.
        items: What is left to work on, and how often each was tried.
        missed: What is sent to the queue when all of it is over.
        stopped: Runs whose executions were ended.
    """

    queue: MemoryQueue
    s3: Any
    above: int
    items: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    missed: dict[str, Any] | None = None
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def start(self, run: Run, bucket: str, key: str) -> None:
        if (name := name_of(run)) in self.started:
            return
        self.started.append(name)
        body = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        self.items = [(each, 0) for each in json.loads(body)]
        self.missed = {"batch": "missed", "run": run.id, "round": run.round}

    def stop(self, run: Run) -> None:
        self.stopped.append(run.id)
        self.items, self.missed = [], None

    def take_one(self, mapped: MappedPieces) -> None:
        """Work on one item, as the template says: again once, then it is the queue's."""
        if not self.items:
            self.queue.put(json.dumps(self.missed))
            self.missed = None
            return
        item, tries = self.items.pop(self.queue.chance.randrange(len(self.items)))
        try:
            for _ in range(self.queue.copies):
                mapped.work(item)
        except (HotplateError, KilledError):
            if tries:
                self.queue.put(json.dumps(item))
            else:
                self.items.append((item, 1))


class BucketReader:
    """Reads by range what moto has."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def read_range(
        self, key: str, *, start: int, into: memoryview, object_bytes: int, etag: str = ""
    ) -> None:
        named = {"IfMatch": f'"{etag}"'} if etag else {}
        try:
            answer = self._client.get_object(
                Bucket=BUCKET, Key=key, Range=f"bytes={start}-{start + len(into) - 1}", **named
            )
        except self._client.exceptions.ClientError as fault:
            raise StoreConflictError(key) from fault
        into[:] = answer["Body"].read()

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class LineModel:
    """The model's function: what `BatchHandler` does beside a model that doubles.

    Attributes:
        faults: What asking about a chunk raises, as often as it is listed.
        rows_at_once: Rows for which there is time in one call.
        asked: Chunks in the order in which they were asked for, and the rows from which on.
    """

    handler: BatchHandler
    manifest: str
    version: str = VERSION
    faults: dict[int, list[Exception]] = field(default_factory=dict)
    asked: list[tuple[int, int]] = field(default_factory=list)
    names: tuple[str, ...] = ("affine",)
    model: Model | None = None

    def describe(self, model: str, tenant: str) -> Described:
        return Described(self.version, "7", self.manifest)

    def predict(self, model: str, function: str, tenant: str, asked: PieceAsked) -> PieceAnswer:
        assert (model, function, tenant) == ("affine", "7", "acme")
        self.asked.append((asked.chunk.number, asked.chunk.first_row))
        if self.faults.get(asked.chunk.number):
            raise self.faults[asked.chunk.number].pop(0)
        context = FileContext(function_version="7")
        model_: Any = SimpleNamespace(version=self.version, manifest=SimpleNamespace(name="affine"))
        event = json.loads(msgspec.json.encode(asked))
        answer = self.handler.answer(event, self.model or model_, context, 0.0)
        return msgspec.convert(answer, PieceAnswer)


@dataclass
class World:
    """All of it."""

    s3: Any
    table: BatchTable
    files: RunFiles
    queue: MemoryQueue
    models: LineModel
    messages: Messages
    requests: RunRequests
    map: MemoryMap
    mapped: MappedPieces
    moments: Moments
    logged: list[str]
    clock: list[float]

    def put(self, body: bytes, key: str = KEY, *, event: bool = True) -> str:
        """Put an input, and have S3 tell of it; return its entity tag."""
        etag: str = self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)["ETag"].strip('"')
        if event:
            self.queue.put(created(key, etag, len(body)))
        return etag

    def work(self, most: int = 1500) -> None:
        """Work on messages until there are none."""
        for _ in range(most):
            if not self.queue.waiting and not self.map.missed:
                return
            self.take_one()
        raise AssertionError(f"not done after {most} messages: {self.queue.waiting[:3]}")

    def take_one(self) -> None:
        if self.map.missed and (not self.queue.waiting or self.queue.chance.random() < 0.5):
            self.map.take_one(self.mapped)
            return
        message = self.queue.take()
        message["tries"] += 1
        given_up = message["tries"] > TRIES
        try:
            done = self.messages.is_done(_record(message), given_up=given_up)
        except KilledError:
            self.clock[0] += 1000
            done = False
        if not done:
            self.queue.waiting.append(message)
            if given_up:
                self.queue.given_up.append(message)
                self.clock[0] += 1000

    def ask(self, what: str, **named: str) -> dict[str, Any]:
        return self.requests.answer({"ask": what, **named})

    def run(self, key: str = KEY) -> dict[str, Any]:
        return self.ask("find", key=key)

    def out(self, name: str, key: str = KEY) -> bytes:
        folder = key.replace("in/", "out/", 1)
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=f"{folder}/{name}")["Body"].read()
        return body

    def report(self, key: str = KEY) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.out("report.json", key))
        return report

    def names(self, prefix: str = "out/") -> list[str]:
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [each["Key"] for each in found]


def created(key: str, etag: str, size: int, *, encoded: str | None = None, bucket: str = BUCKET) -> str:
    """Return S3's message of an object that was created."""
    from urllib.parse import quote_plus

    name = quote_plus(key, safe="/") if encoded is None else encoded
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": name, "size": size, "eTag": etag}},
    }
    return json.dumps({"Records": [record]})


def lines_of(count: int, *, bad_every: int = 0) -> bytes:
    """Return an input of so many rows; each `bad_every`th is bad, from the first on."""
    rows = ("bad" if bad_every and n % bad_every == 0 else str(n) for n in range(count))
    return "".join(f"{row}\n" for row in rows).encode()


def doubled(body: bytes) -> bytes:
    """Return what is to come of an input."""
    return "".join(f"{2 * int(line)}\n" for line in body.decode().split() if line != "bad").encode()


def counted(printed: str) -> dict[str, int]:
    """Return what the ledger makes of the usage lines that were printed."""
    usages = [usage for line in printed.splitlines() if (usage := read_usage(line))]
    ledger = Ledger(MemoryDynamodb(), "ledger")
    ledger.record(usages)
    (day,) = ledger.days("acme", "1970-01-01", "2100-01-01")
    return dict(day.counts)


def line_formats(broken: bytes = b"broken") -> Formats:
    """Return how files of lines are read: one chunk for so many bytes."""

    def find_layout(source: Source, name: str, options: BatchOptions, manifest: Any) -> Layout:
        if bytes(source.read(0, min(len(broken), source.size))) == broken:
            raise UnreadableFileError("no lines", byte=0)
        return Layout("jsonl", (), (), ("y",), 0, source.size, options)

    def chunks(source: Source, layout: Layout, target: int, stage: Any) -> Iterator[Chunk]:
        lines = bytes(source.read(0, source.size)).splitlines(keepends=True)
        at = 0
        for number, first in enumerate(range(0, len(lines), target)):
            some = lines[first : first + target]
            stop = at + sum(map(len, some))
            yield Chunk(number, at, stop, first, len(some))
            at = stop

    def finish(parts: Iterable[Source], layout: Layout, manifest: Any, sink: Sink) -> None:
        for each in parts:
            sink.write(each.read(0, each.size))

    return Formats(find_layout, chunks, finish, lambda layout: "jsonl")


def double_lines(rows_at_once: int | None) -> Callable[..., ChunkReport]:
    """Return what predicts a chunk of lines, of which there is time for so many."""

    def predict(
        source: Source, layout: Layout, chunk: Chunk, model: Any, sink: Sink, *, deadline: float, **_: Any
    ) -> ChunkReport:
        lines = bytes(source.read(chunk.start, chunk.stop)).splitlines(keepends=True)
        now = lines[:rows_at_once]
        errors = []
        for row, line in enumerate(now, chunk.first_row):
            if line.strip() == b"bad":
                errors.append(RowError(row, "no number", "x"))
            elif line.strip() == b"fails":
                errors.append(RowError(row, "the model failed on this row", again=True))
            else:
                sink.write(b"%d\n" % (2 * int(line)))
        rest = None
        if len(now) < len(lines):
            rest = Chunk(
                chunk.number,
                chunk.start + sum(map(len, now)),
                chunk.stop,
                chunk.first_row + len(now),
                len(lines) - len(now),
            )
        return ChunkReport(
            len(now), len(now) - len(errors), len(errors), tuple(errors), {"total": 0.001}, rest
        )

    return predict


@cache
def clients() -> tuple[Any, Any]:
    """Return clients of DynamoDB and S3; to make one takes longer than most tests here."""
    return boto3.client("dynamodb", REGION), boto3.client("s3", REGION)


@contextmanager
def world(
    *,
    seed: int = 1,
    copies: int = 1,
    rows_in_chunk: int = 10,
    rows_at_once: int | None = None,
    kill_at: Iterable[int] = (),
    model: Model | None = None,
    map_above: int = 1_000_000,
    config: Any = None,
) -> Iterator[World]:
    """Make table, bucket, queue and function; with a model, files are what they are everywhere."""
    with mock_aws(config=config):
        moments = Moments(set(kill_at))
        client, s3 = clients()
        properties = RESOURCES["BatchTable"]["Properties"]
        taken = ("AttributeDefinitions", "BillingMode", "KeySchema")
        client.create_table(TableName="BatchTable", **{each: properties[each] for each in taken})
        s3.create_bucket(Bucket=BUCKET)
        clock = [1_000_000.0]
        table = BatchTable(moments.around(client), "BatchTable", now=lambda: clock[0])
        watched = moments.around(s3)
        files = RunFiles(BatchFiles(watched, BUCKET), lambda: BucketReader(s3))  # type: ignore[arg-type,return-value]
        queue = MemoryQueue(random.Random(seed), copies)
        sent = moments.around(queue)
        handler = BatchHandler(
            lambda _: BucketReader(s3),  # type: ignore[arg-type,return-value]
            BatchFiles(watched, BUCKET),
            predict_chunk if model else double_lines(rows_at_once),
        )
        models = LineModel(handler, encode(published().manifest).decode(), model=model)
        models.version = model.version if model else VERSION
        formats = Formats() if model else line_formats()
        reports, logged = Reports(files), list[str]()
        chunk_map = MemoryMap(queue, s3, map_above)
        watched_map = moments.around(chunk_map)
        worker = PieceWorker(table, files, sent, models, memory_mb=1024)
        messages = Messages(
            sent,
            Splitter(
                table,
                files,
                sent,
                models,
                reports,
                watched_map,
                chunk_bytes=rows_in_chunk,
                formats=formats,
            ),
            worker,
            Finisher(table, files, reports, formats),
            lambda text, **named: logged.append(f"{text} {named}"),
        )
        yield World(
            s3,
            table,
            files,
            queue,
            models,
            messages,
            RunRequests(table, sent, watched_map),
            chunk_map,
            MappedPieces(worker),
            moments,
            logged,
            clock,
        )


def _record(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "messageId": message["id"],
        "body": message["body"],
        "receiptHandle": message["id"],
        "attributes": {"ApproximateReceiveCount": str(min(message["tries"], TRIES))},
    }
