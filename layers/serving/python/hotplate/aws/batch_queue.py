"""The queue of batch: what its messages say, and how they are sent, hidden and brought back.

Source: Amazon SQS API Reference, "SendMessageBatch" and "ChangeMessageVisibility"; Amazon S3 User Guide,
"Event message structure" (keys in it are URL-encoded, with `+` for a space).
"""

from __future__ import annotations

from itertools import batched
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from hotplate.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BatchQueue", "Created", "Message", "PieceMessage", "RunMessage", "read_message"]

# Messages of one call. Source: SendMessageBatch.
_MESSAGES = 10
# Longest delay of a message, in seconds. Source: Amazon SQS Developer Guide, "Delay queues".
MAX_DELAY_S = 900


class Created(msgspec.Struct, frozen=True):
    """S3 says that an object was created: where, its key as it is, its entity tag and its length in bytes."""

    bucket: str
    key: str
    etag: str
    size: int


class RunMessage(msgspec.Struct, frozen=True):
    """What is to be done with a whole run.

    Attributes:
        batch: `split`, to find its chunks, `finish`, to join what they gave, or `missed`, to send what of
            them the state machine has not done.
        run: Its id.
        round: Of the run, when it was sent.
    """

    batch: str
    run: str
    round: int


class PieceMessage(msgspec.Struct, frozen=True):
    """A piece of a chunk that is to be predicted.

    Attributes:
        run: Id of its run.
        chunk, piece: Which.
        round: Of the run, when it was sent.
        work: JSON of the chunk.
        waits: How often it was put back because the model was busy.
    """

    run: str
    chunk: int
    piece: int
    round: int
    work: str
    waits: int = 0


type Message = RunMessage | PieceMessage


class BatchQueue:
    """The queue at `url`, reached by a client of SQS."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, messages: Iterable[Message], *, delay_s: int = 0) -> None:
        """Send messages; each comes at least once, after `delay_s`.

        Raises:
            StoreUnavailableError: SQS did not take all of them; some may come.
        """
        delay_s = min(delay_s, MAX_DELAY_S)
        for few in batched(messages, _MESSAGES):
            entries = [
                {"Id": str(at), "MessageBody": msgspec.json.encode(each).decode(), "DelaySeconds": delay_s}
                for at, each in enumerate(few)
            ]
            try:
                answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            except (BotoCoreError, ClientError) as fault:
                raise StoreUnavailableError(f"sqs:{self._url}: {fault}") from fault
            if refused := answer.get("Failed"):
                raise StoreUnavailableError(f"sqs:{self._url}: {refused[0].get('Code', 'not taken')}")

    def hide(self, receipt: str, seconds: int) -> None:
        """Have a message that was received come again in so many seconds, unless it is done by then.

        Raises:
            StoreUnavailableError: SQS does not do it.
        """
        try:
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=seconds
            )
        except (BotoCoreError, ClientError) as fault:
            raise StoreUnavailableError(f"sqs:{self._url}: {fault}") from fault


class _Object(msgspec.Struct):
    key: str
    size: int = 0
    eTag: str = ""  # noqa: N815 - S3's word


class _Bucket(msgspec.Struct):
    name: str


class _S3(msgspec.Struct):
    bucket: _Bucket
    object: _Object


class _Record(msgspec.Struct):
    s3: _S3


class _Body(msgspec.Struct):
    """Any message; what it has tells which it is. S3's own test of the queue has none of these."""

    Records: list[_Record] | None = None
    batch: str | None = None
    chunk: int | None = None


def read_message(body: str) -> list[Created] | Message:
    """Return what a message says: objects that were created (none in S3's test of a queue), or one of ours.

    Raises:
        msgspec.DecodeError: It is neither.
    """
    found = msgspec.json.decode(body, type=_Body)
    if found.chunk is not None:
        return msgspec.json.decode(body, type=PieceMessage)
    if found.batch is not None:
        return msgspec.json.decode(body, type=RunMessage)
    return [
        Created(s3.bucket.name, unquote_plus(s3.object.key), s3.object.eTag.strip('"'), s3.object.size)
        for s3 in (each.s3 for each in found.Records or ())
    ]
