"""Who waits for a streamed answer in the local cloud: gets it in its own loop, from the worker's thread.

Standard library only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotplate_tools.local.streaming.call import Call
    from hotplate_tools.local.streaming.process import Outcome

__all__ = ["LISTENER", "Listener"]


class Listener:
    """A caller: parts of the answer, then what became of it, then nothing more."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait in `loop`."""
        self._loop = loop
        self._parts: asyncio.Queue[bytes | Outcome | None] = asyncio.Queue()
        self._call: Call | None = None

    def attach(self, call: Call) -> None:
        """Note what to hang up on. From the worker's thread, as the next two."""
        self._call = call

    def deliver(self, part: bytes) -> None:
        """Take a part of the answer."""
        self._loop.call_soon_threadsafe(self._parts.put_nowait, part)

    def end(self, outcome: Outcome) -> None:
        """Take what became of it."""
        self._loop.call_soon_threadsafe(self._parts.put_nowait, outcome)

    def finish(self) -> None:
        """Note that nothing more comes. In the loop."""
        self._parts.put_nowait(None)

    async def next_part(self) -> bytes | Outcome | None:
        """Return what came next; None when there is no more."""
        return await self._parts.get()

    def hang_up(self) -> None:
        """Want no more."""
        if self._call is not None:
            self._call.cancel()

    async def rest(self, receive: Any) -> AsyncGenerator[bytes | Outcome]:
        """Yield what comes, until there is no more, or the caller (ASGI's `receive`) is gone.

        The end comes when the worker is free, so that who asks again at once gets the same one. Whoever stops
        hangs up, which is of no effect on an answer that has ended.
        """
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            while True:
                following = asyncio.ensure_future(self.next_part())
                await asyncio.wait((following, gone), return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    following.cancel()
                    return
                found = following.result()
                if found is None:
                    return
                yield found
        finally:
            gone.cancel()
            self.hang_up()


# Of the request in work.
LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
