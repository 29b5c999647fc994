"""The runtime loop of a function: event after event, each answered whole or in chunks.

Rules kept:

1. What goes wrong before the first chunk is an error answer (`/error`), because nothing has left; API Gateway
   makes it 502. What goes wrong after it ends the stream with the response's own last words, then with
   Lambda's error trailers. The log has both, as awslambdaric writes them.
2. Time that runs out between two chunks is such a fault: the caller hears of it and the environment lives on.
   Within a chunk Lambda stops the environment.
3. A stream that nobody wants ends with the item that is being made.

Not done: several events in one process (managed instances), which is refused; a handler for the root of
`logging`, whose warnings go to standard error as Python has it.

Source: AWS Lambda Developer Guide, "Building a custom runtime"; awslambdaric (`bootstrap`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson

from hotplate.streaming.connection import ProtocolError
from hotplate.streaming.context import Context
from hotplate.streaming.response import StreamedResponse, as_streamed, prelude
from hotplate.streaming.runtime_api import (
    CallerGoneError,
    Invocation,
    RuntimeApi,
    Stream,
    error_record,
)

__all__ = ["Loop"]

type Handler = Callable[[Any, Context], Any]

# A chunk that begins with less time than this may never end, so none is begun, in ms.
_LAST_WORDS_MS = 250


class Loop:
    """Asks the Runtime API for events and answers each."""

    def __init__(
        self, environ: Mapping[str, str], *, set_variable: Callable[[str, str], None], streams: bool
    ) -> None:
        """Take what `hotplate.streaming.start.run` takes."""
        self._environ, self._set_variable, self._streams = environ, set_variable, streams
        self._api = RuntimeApi(environ["AWS_LAMBDA_RUNTIME_API"])

    def refuse(self, fault: Exception) -> int:
        """Tell why the function cannot be started; return the process's exit code.

        Raises:
            OSError, ProtocolError: It was not taken.
        """
        _log(fault)
        self._api.fail_start(fault)
        return 1

    def run(self, handler: Handler) -> int:
        """Answer events until the API is gone; return the process's exit code.

        Raises:
            OSError, ProtocolError: The API is gone.
        """
        api, environ = self._api, self._environ
        if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            code = _restored(api)
            if code:
                return code
        while True:
            invocation = api.next()
            self._set_variable("_X_AMZN_TRACE_ID", invocation.headers.get("lambda-runtime-trace-id", ""))
            try:
                _serve(api, handler, invocation, environ, streams=self._streams)
            except ProtocolError as fault:
                _log(fault, invocation.id)  # the next event may fare better


def _restored(api: RuntimeApi) -> int:
    """Have a snapshot taken; return 0 in an environment made from it that may serve, else an exit code.

    Source of the codes: awslambdaric.
    """
    from snapshot_restore_py import get_after_restore, get_before_snapshot  # Lambda's own, nowhere else

    try:
        for hook, args, named in reversed(get_before_snapshot()):
            hook(*args, **named)
    except Exception as fault:
        _log(fault)
        api.fail_start(fault, phase="snapshot")
        return 64
    api.wait_restored()
    try:
        for hook, args, named in get_after_restore():
            hook(*args, **named)
    except Exception as fault:
        _log(fault)
        api.fail_start(fault, phase="restore")
        return 65
    return 0


def _serve(
    api: RuntimeApi, handler: Handler, invocation: Invocation, environ: Mapping[str, str], *, streams: bool
) -> None:
    whole = b""
    try:
        context = Context(invocation, environ)
        result = handler(_read(invocation.event), context)
        response = _streamed(result, streams=streams)
        if response is None:
            whole = _written(result)
        else:
            head, chunks = prelude(response), iter(response.chunks)
            first = next((chunk for chunk in chunks if chunk), b"")
    except Exception as fault:  # the edge: the handler's faults are the caller's answer
        _log(fault, invocation.id)
        api.fail(invocation.id, fault)
        return
    if response is None:
        api.answer(invocation.id, whole)
        return
    try:
        with api.stream(invocation.id) as stream:
            stream.send(head + first)
            _send_rest(stream, chunks, response, context)
    except CallerGoneError:
        sys.stderr.write(f"stream {invocation.id} has no listener any more\n")
    finally:
        _close(chunks)


def _streamed(result: Any, *, streams: bool) -> StreamedResponse | None:
    """Return the answer to be streamed; None for one that leaves whole.

    Raises:
        TypeError: The function was not started as one that streams.
        ValueError: As of `as_streamed`.
    """
    if not isinstance(result, StreamedResponse):
        return as_streamed(result) if streams else None
    if not streams:
        raise TypeError("the answer streams, and AWS_LAMBDA_EXEC_WRAPPER names the runtime for whole answers")
    return result


def _read(event: bytes) -> Any:
    """Return the event; what orjson refuses (lone surrogates) the standard library may take."""
    try:
        return orjson.loads(event)
    except orjson.JSONDecodeError:
        import json  # milliseconds, which only such an event costs

        return json.loads(event)


def _written(result: Any) -> bytes:
    try:
        return orjson.dumps(result)
    except orjson.JSONEncodeError:
        import json

        return json.dumps(result).encode()


def _send_rest(stream: Stream, chunks: Iterator[bytes], response: StreamedResponse, context: Context) -> None:
    try:
        for chunk in chunks:
            stream.send(chunk)
            if context.get_remaining_time_in_millis() < _LAST_WORDS_MS:
                _run_out(chunks)
    except CallerGoneError:
        raise
    except Exception as fault:  # the edge, as above; what was sent cannot be taken back
        _log(fault, context.aws_request_id)
        stream.send(response.on_error(fault))
        stream.fail(fault, context.aws_request_id)
    else:
        stream.end()


def _run_out(chunks: Iterator[bytes]) -> None:
    """Raise a TimeoutError, where `chunks` is if that is a generator, so that it hears why it ends."""
    fault = TimeoutError("the answer takes longer than the function may")
    throw = getattr(chunks, "throw", None)
    if throw is not None:
        with suppress(StopIteration):
            throw(fault)
    raise fault


def _close(chunks: Iterator[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def _log(fault: BaseException, request_id: str = "") -> None:
    """Write a fault as one event of the log, in awslambdaric's form."""
    record = error_record(fault, request_id)
    lines = [f"[ERROR] {record['errorType']}: {record['errorMessage']}", f"RequestId: {request_id}"]
    stack = (frame.rstrip("\n") for frame in record["stackTrace"])
    text = "\n".join([*lines, "Traceback (most recent call last):", *stack])
    sys.stderr.write(text.replace("\n", "\r") + "\n")
    sys.stderr.flush()
