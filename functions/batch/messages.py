"""What becomes of a message of the queue: it is done, or comes again, or came too often and is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hotplate.aws.batch_queue import PieceMessage, read_message
from hotplate.errors import HotplateError
from hotplate.observability import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from functions.batch.finish import Finisher
    from functions.batch.split import Splitter
    from functions.batch.work import PieceWorker
    from hotplate.aws.batch_queue import BatchQueue, Created, Message

__all__ = ["TRIES", "Messages"]

# How often a message is taken (template: `maxReceiveCount`).
TRIES = 5
# How long a piece's message stays hidden from when it is taken, in seconds: longer than its model's function
# may run (29) with what is read and written around it.
PIECE_HIDDEN_S = 75
# How long a message waits that has to come again, in seconds; for each time that it came.
_AGAIN_S = 10
_KILLED = "its worker ended before it was done"


class Messages:
    """Has messages worked on; `log` takes a text and what belongs to it."""

    def __init__(
        self,
        queue: BatchQueue,
        splitter: Splitter,
        worker: PieceWorker,
        finisher: Finisher,
        log: Callable[..., object],
    ) -> None:
        self._queue = queue
        self._splitter = splitter
        self._worker = worker
        self._finisher = finisher
        self._log = log

    def is_done(self, record: Mapping[str, Any], *, given_up: bool) -> bool:
        """Return whether a message is done; else it stays in its queue and comes again.

        Args:
            record: Of Lambda's event of SQS.
            given_up: Whether it is of the queue of what was given up.
        """
        tries = int(record["attributes"]["ApproximateReceiveCount"])
        try:
            message = read_message(record["body"])
            if given_up:
                return self._give_up(message, _KILLED)
            return self._work(message, record["receiptHandle"], tries)
        except Exception as fault:  # the others' messages are done, whatever is wrong with this one
            reason = words_of(fault)
            self._log("a message stays in its queue", message_id=record["messageId"], error=reason)
            return False if given_up else self._later(record, tries, reason)

    def _work(self, message: list[Created] | Message, receipt: str, tries: int) -> bool:
        if isinstance(message, PieceMessage):
            self._queue.hide(receipt, PIECE_HIDDEN_S)
            self._worker.work(message, careful=tries > 1)
            return True
        if isinstance(message, list):
            for each in message:
                self._splitter.created(each)
            return True
        if message.batch == "finish":
            return self._finisher.finish(message) or self._put_back(receipt)
        if message.batch == "missed":
            self._splitter.missed(message)
        else:
            self._splitter.again(message)
        return True

    def _put_back(self, receipt: str) -> bool:
        """Have a message come again when whoever holds its run should be done."""
        self._queue.hide(receipt, 60)
        return False

    def _later(self, record: Mapping[str, Any], tries: int, reason: str) -> bool:
        """Have a message come again soon; at its last try give it up with what was wrong."""
        try:
            if tries >= TRIES:
                return self._give_up(read_message(record["body"]), reason)
            self._queue.hide(record["receiptHandle"], _AGAIN_S * tries)
        except (HotplateError, msgspec.DecodeError) as fault:  # it comes again by itself, later
            self._log("a message is not put back", message_id=record["messageId"], error=words_of(fault))
        return False

    def _give_up(self, message: list[Created] | Message, reason: str) -> bool:
        if isinstance(message, PieceMessage):
            self._worker.give_up(message, reason)
        elif isinstance(message, list):
            for each in message:
                self._splitter.refuse(each, reason)
        elif message.batch == "finish":
            return self._finisher.give_up(message, reason)
        else:
            self._splitter.give_up(message, reason)
        return True
