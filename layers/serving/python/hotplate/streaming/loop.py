"""The runtime loop of a streaming function: init, then event after event, each answered whole or in chunks.

Rules kept:

1. What goes wrong before the first chunk is an error answer (`/error`), because nothing has left; API Gateway
   makes it 502. What goes wrong after it ends the stream with the response's own last words, then with
   Lambda's error trailers. The log has both, as awslambdaric writes them.
2. Time that runs out between two chunks is such a fault: the caller hears of it and the environment lives on.
   Within a chunk Lambda stops the environment.
3. A stream that nobody wants ends with the item that is being made.
4. What cannot be started is told to `/init/error`, and the process ends.

Not done: several events in one process (managed instances), which is refused; a handler for the root of
`logging`, whose warnings go to standard error as Python has it.

Source: AWS Lambda Developer Guide, "Building a custom runtime"; awslambdaric (`bootstrap`).
"""

from __future__ import annotations

import importlib
import json
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

__all__ = ["run"]

type Handler = Callable[[Any, Context], Any]

# A chunk that begins with less time than this may never end, so none is begun, in ms.
_LAST_WORDS_MS = 250


def run(environ: Mapping[str, str], *, set_variable: Callable[[str, str], None]) -> int:
    """Serve until the API is gone; return the process's exit code.

    Args:
        environ: Lambda's variables.
        set_variable: Sets a variable of this process, for the trace of each request.
    """
    api = RuntimeApi(environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = _start(environ)
    except Exception as fault:  # whatever a module raises when it is imported
        _log(fault)
        api.fail_start(fault)
        return 1
    if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start" and not _restored(api):
        return 1
    while True:
        invocation = api.next()
        set_variable("_X_AMZN_TRACE_ID", invocation.headers.get("lambda-runtime-trace-id", ""))
        try:
            _serve(api, handler, invocation, environ)
        except ProtocolError as fault:
            _log(fault, invocation.id)  # the next event may fare better


def _start(environ: Mapping[str, str]) -> Handler:
    if int(environ.get("AWS_LAMBDA_MAX_CONCURRENCY") or 1) > 1:
        raise RuntimeError(
            "a streaming function takes one request at a time; AWS_LAMBDA_MAX_CONCURRENCY is more"
        )
    module, _, name = environ["_HANDLER"].rpartition(".")
    handler: Handler = getattr(importlib.import_module(module.replace("/", ".")), name)
    return handler


def _restored(api: RuntimeApi) -> bool:
    """Have a snapshot taken; return whether an environment made from it may serve."""
    from snapshot_restore_py import get_after_restore, get_before_snapshot  # Lambda's own, nowhere else

    try:
        for hook, args, named in reversed(get_before_snapshot()):
            hook(*args, **named)
    except Exception as fault:
        _log(fault)
        api.fail_start(fault)
        return False
    api.wait_restored()
    try:
        for hook, args, named in get_after_restore():
            hook(*args, **named)
    except Exception as fault:
        _log(fault)
        api.fail_start(fault, phase="restore")
        return False
    return True


def _serve(api: RuntimeApi, handler: Handler, invocation: Invocation, environ: Mapping[str, str]) -> None:
    context = Context(invocation, environ)
    try:
        result = handler(_read(invocation.event), context)
        response = result if isinstance(result, StreamedResponse) else as_streamed(result)
        if response is None:
            api.answer(invocation.id, _written(result))
            return
        head, chunks = prelude(response), iter(response.chunks)
        first = next((chunk for chunk in chunks if chunk), b"")
    except Exception as fault:  # the edge: the handler's faults are the caller's answer
        _log(fault, invocation.id)
        api.fail(invocation.id, fault)
        return
    try:
        with api.stream(invocation.id) as stream:
            stream.send(head + first)
            _send_rest(stream, chunks, response, context)
    except CallerGoneError:
        sys.stderr.write(f"stream {invocation.id} has no listener any more\n")
    finally:
        _close(chunks)


def _read(event: bytes) -> Any:
    """Return the event; what orjson refuses (lone surrogates) the standard library may take."""
    try:
        return orjson.loads(event)
    except orjson.JSONDecodeError:
        return json.loads(event)


def _written(result: Any) -> bytes:
    try:
        return orjson.dumps(result)
    except orjson.JSONEncodeError:
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
