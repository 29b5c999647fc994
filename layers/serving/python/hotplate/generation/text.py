"""The text of an answer while its tokens come: whole characters, and nothing that a stop string begins with.

A token is bytes and may end within a character; a stop string may lie across tokens. What is not sure yet
is held back: the bytes of an unfinished character, and the longest end of the text that a stop string
begins with. What was given out is never taken back.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TextStream"]


class TextStream:
    """Bytes in, text out.

    Attributes:
        stopped: Whether a stop string has come; nothing comes after.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        """Stop before the first of `stops`, none of which is empty."""
        self._stops = stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False

    def feed(self, more: bytes) -> str:
        """Return the text that is sure now; "" after a stop string."""
        return self._sure(self._decoder.decode(more))

    def finish(self) -> str:
        """Return what was held back and is text after all; an unfinished character as U+FFFD."""
        text = self._sure(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return text if self.stopped else text + held

    def _sure(self, more: str) -> str:
        if self.stopped:
            return ""
        text = self._held + more
        if not self._stops:
            return text
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        held = max(_begun(text, stop) for stop in self._stops)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _begun(text: str, stop: str) -> int:
    """Return how many characters at the end of a text a stop string begins with."""
    longest = min(len(stop) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
