"""The start of a function on hotplate's runtime: its module first, then the rest of the runtime.

The handler's module is imported before anything that it would not import itself, because it begins to fetch
its model at once, beside whatever is imported then. What cannot be started is told to `/init/error`, and the
process ends.

Source: AWS Lambda Developer Guide, "Building a custom runtime"; awslambdaric (`bootstrap`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hotplate.streaming.context import Context

    type Handler = Callable[[Any, Context], Any]

__all__ = ["run"]


def run(environ: Mapping[str, str], *, set_variable: Callable[[str, str], None], streams: bool) -> int:
    """Serve until the API is gone; return the process's exit code.

    Args:
        environ: Lambda's variables.
        set_variable: Sets a variable of this process, for the trace of each request.
        streams: Whether proxy results leave as streams too, which a method that streams wants; else all
            answers are whole.
    """
    fault: Exception | None = None
    try:
        handler = _handler(environ)
    except Exception as raised:  # whatever a module raises when it is imported
        fault = raised
    from hotplate.streaming.loop import Loop

    loop = Loop(environ, set_variable=set_variable, streams=streams)
    return loop.refuse(fault) if fault else loop.run(handler)


def _handler(environ: Mapping[str, str]) -> Handler:
    if int(environ.get("AWS_LAMBDA_MAX_CONCURRENCY") or 1) > 1:
        raise RuntimeError(
            "this runtime takes one request at a time; AWS_LAMBDA_MAX_CONCURRENCY is more than that"
        )
    module, _, name = environ["_HANDLER"].rpartition(".")
    handler: Handler = getattr(importlib.import_module(module.replace("/", ".")), name)
    return handler
