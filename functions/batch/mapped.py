"""Items of the state machine: a piece each, worked on as a message of the queue is.

What raises is tried again by the state machine, and sent to the queue in the end (template: ChunkMap).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hotplate.aws.batch_queue import PieceMessage
from hotplate.errors import HotplateError
from hotplate.observability import words_of

if TYPE_CHECKING:
    from functions.batch.work import PieceWorker

__all__ = ["LONGEST_S", "MappedPieces", "PieceFailedError"]

# How long one call goes on with what is left over of its chunk, in seconds. Ours: an item's own execution
# ends after 300, whatever it does, and the last piece may take 60.
LONGEST_S = 120.0


class PieceFailedError(HotplateError):
    """What no error class of ours says; told in words that hold no payload."""


class MappedPieces:
    """Works on items."""

    def __init__(self, worker: PieceWorker) -> None:
        self._worker = worker

    def work(self, item: Any) -> dict[str, Any]:
        """Work on an item; return which chunk it was of.

        Raises:
            HotplateError: It is to be tried again.
        """
        try:
            message = msgspec.convert(item, PieceMessage)
            self._worker.work_on(message, longest_s=LONGEST_S)
        except HotplateError:
            raise
        except Exception as fault:  # Lambda logs and Step Functions keeps what is raised
            raise PieceFailedError(words_of(fault)) from None
        return {"chunk": message.chunk}
