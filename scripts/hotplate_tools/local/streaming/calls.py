"""InvokeWithResponseStream in the local cloud: each part of an answer as a message, when it is there.

ministack 1.5 answers that call when the function has ended, in one part. A function that does not stream has
no other answer here either.

Rules kept: who hangs up ends the function's stream; an answer that breaks off is broken off, without the
message that ends one.

Runs in the environment `cloud`, as `emulator.py` does.

Source: AWS Lambda API Reference, "InvokeWithResponseStream".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from ministack.core.responses import StreamingResponse  # type: ignore[import-not-found] # own environment
from ministack.services import lambda_svc  # type: ignore[import-not-found]

from hotplate_tools.local.streaming.frames import CONTENT_TYPE, completed, part
from hotplate_tools.local.streaming.listener import LISTENER, Listener
from hotplate_tools.local.streaming.process import Outcome

__all__ = ["streamed_call"]

type Answer = tuple[int, dict[str, Any], Any]

_HEADERS = {"Content-Type": CONTENT_TYPE}


async def streamed_call(name: str, event: Any, headers: dict[str, Any], *rest: Any) -> Answer:
    """Answer InvokeWithResponseStream; arguments are ministack's."""
    listener = Listener(asyncio.get_running_loop())
    LISTENER.set(listener)
    answer = asyncio.ensure_future(lambda_svc._invoke(name, event, headers, *rest))
    answer.add_done_callback(lambda _: listener.finish())
    first = await listener.next_part()
    if isinstance(first, bytes):
        return 200, {**_HEADERS}, StreamingResponse(_runner(listener, first))
    return _whole(await answer, first)


def _runner(listener: Listener, first: bytes) -> Callable[[Any, Any], Awaitable[None]]:
    async def run(send: Any, receive: Any) -> None:
        await _send(send, part(first))
        ended: Outcome | None = None
        async with aclosing(listener.rest(receive)) as rest:
            async for each in rest:
                if isinstance(each, Outcome):
                    ended = each
                elif each:
                    await _send(send, part(each))
        if ended is not None and (ended.error is not None or not ended.is_broken):
            await _send(send, completed(ended.error))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        # Else without a last frame, so the caller sees that this was not all.

    return run


async def _send(send: Any, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _whole(given: Answer, outcome: Outcome | None) -> Answer:
    """Return the answer of a call that failed, or of a function that gives its answer whole."""
    status, headers, body = given
    if status != 200:
        return given
    if outcome is not None and outcome.error is not None:
        return 200, {**_HEADERS}, completed(outcome.error)
    if headers.get("X-Amz-Function-Error"):
        return 200, {**_HEADERS}, completed(json.loads(body))
    return 200, {**_HEADERS}, part(body) + completed()
