"""What the table of batch holds, row by row; pure.

A run's id is the digest of what it is about (the object as it lies there, the model's version, the options),
so the same object told of twice is one run, and everything that a run writes lies under its id.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENDED", "RUN_S", "Piece", "Run", "piece_of", "run_id", "run_item", "run_of"]

# How long a run is kept, in seconds; as long as its files under work/ (template).
RUN_S = 7 * 86400
ENDED = ("succeeded", "failed", "failed_chunks", "cancelled")
# Hexadecimal digits of a run's id: 80 bits.
_ID_CHARS = 20
_TO, _FROM = TypeSerializer(), TypeDeserializer()


class Run(msgspec.Struct, frozen=True):
    """One file, predicted by one version of one model. Times are whole seconds since 1970.

    Attributes:
        id: See the module.
        tenant, model, version: Who pays, what is asked; the version was served when the run began.
        function: Version of the model's Lambda function that serves that version; "" for its alias.
        key, etag, size: The object in the data bucket, its entity tag and its length in bytes.
        options: JSON of the options beside it.
        created, updated, ended, gone_at: When it began, last changed, ended (0: has not), is removed.
        state: `splitting`, `running`, `finishing` or one of `ENDED`.
        reason: Why it did not end well.
        chunks: How many there are; -1 while that is not known.
        done, failed: How many of them are done; how many failed in this round.
        predicted, bad: Rows so far.
        round: How often it was taken up again.
        sent: Whether every piece of this round has its message, or is in the map's list.
        mapped: Whether this round is the state machine's.
        is_again: Whether this round asks rows again, on which the model failed, of pieces that are done.
        holder, held_until: Who finishes it, and how long that is believed.
    """

    id: str
    tenant: str
    model: str
    version: str
    function: str
    key: str
    etag: str
    size: int
    options: str = "{}"
    created: int = 0
    updated: int = 0
    ended: int = 0
    gone_at: int = 0
    state: str = "splitting"
    reason: str = ""
    chunks: int = -1
    done: int = 0
    failed: int = 0
    predicted: int = 0
    bad: int = 0
    round: int = 0
    sent: bool = False
    mapped: bool = False
    is_again: bool = False
    holder: str = ""
    held_until: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every chunk is done or has failed."""
        return self.chunks >= 0 and self.done + self.failed >= self.chunks


class Piece(msgspec.Struct, frozen=True):
    """What became of one piece of a chunk: all of it, or what was done before the time was over.

    Attributes:
        chunk, piece: Which; pieces of a chunk follow each other.
        state: `done` or `failed`.
        round: In which it was worked on.
        work: JSON of the chunk, as it was asked for.
        part, errors: Keys of what was written; "" for nothing.
        rows, predicted, bad: How many rows it has, how many have an answer, how many have none.
        again: How many of the bad can be asked again.
        asked, asked_in: How many were asked when last only those were on which the model had failed, and in
            which round; else 0.
        earlier: What the ledger counted of earlier rounds.
        remainder: JSON of what is left of the chunk; "" for nothing.
        reason: Why it failed.
        usage: What of it the ledger counts.
        timings_ms: Of the engine, by stage.
    """

    chunk: int
    piece: int
    state: str
    round: int
    work: str
    part: str = ""
    errors: str = ""
    rows: int = 0
    predicted: int = 0
    bad: int = 0
    again: int = 0
    asked: int = 0
    asked_in: int = 0
    earlier: dict[str, int] = {}
    remainder: str = ""
    reason: str = ""
    usage: dict[str, Any] = {}
    timings_ms: dict[str, float] = {}


def run_id(*, bucket: str, key: str, etag: str, size: int, model: str, version: str, options: str) -> str:
    """Return the id of the run that these make."""
    told = msgspec.json.encode([bucket, key, etag, size, model, version, options])
    return hashlib.sha256(told).hexdigest()[:_ID_CHARS]


def run_item(run: Run) -> dict[str, Any]:
    """Return a run as DynamoDB has it, without its key."""
    return {name: _TO.serialize(value) for name, value in msgspec.structs.asdict(run).items()}


def run_of(item: Mapping[str, Any]) -> Run:
    """Return the run in a row."""
    # A run that an older hotplate began has not all of them.
    found = {name: _FROM.deserialize(item[name]) for name in Run.__struct_fields__ if name in item}
    # Numbers are decimal ones there.
    whole = {name: int(each) if isinstance(each, Decimal) else each for name, each in found.items()}
    return msgspec.convert(whole, Run)


def piece_of(item: Mapping[str, Any]) -> Piece:
    """Return the piece in a row."""
    return msgspec.json.decode(item["body"]["S"], type=Piece)
