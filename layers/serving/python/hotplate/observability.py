"""What a function says about itself: usage lines, cold ledgers, and a log for faults.

The two lines written on every path are written directly: at 160 µs a line the structured logger
would cost more than a small model's inference. The logger is imported when a fault is first
logged, so it costs a healthy cold start nothing.

No line ever holds a payload or a credential. So of a fault that a request met only our own words are logged:
those of ONNX Runtime, of a model's Python or of a library may quote what they were given ("could not convert
string to float: …"), and those for a caller do. Class and place are enough to find a fault.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from hotplate.errors import HotplateError, InferenceError, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from aws_lambda_powertools import Logger

__all__ = ["fault_log", "trace_of", "words_of", "write_line"]


def write_line(kind: str, record: Mapping[str, Any]) -> None:
    """Write one JSON line `{"hotplate": kind, ...record}` to standard output, Lambda's log.

    Kinds in use: `usage` (one a request), `cold` (one an execution environment), `restored` (instead,
    for one made from a snapshot), `second session` (see `hotplate.runtime.staged`),
    `listening` (one a container of SageMaker, before its model is there).
    """
    line = orjson.dumps({"hotplate": kind, **record}, option=orjson.OPT_APPEND_NEWLINE)
    sys.stdout.write(line.decode())
    sys.stdout.flush()


@cache
def fault_log() -> Logger:
    """Return the logger for faults that an operator has to see."""
    from aws_lambda_powertools import Logger

    return Logger(service="hotplate")


def words_of(fault: BaseException) -> str:
    """Return the class of an error, and its words if they are ours and quote no request."""
    if not isinstance(fault, HotplateError) or isinstance(fault, RequestError):
        return type(fault).__name__
    return f"{type(fault).__name__}: {fault.text if isinstance(fault, InferenceError) else fault}"


def trace_of(fault: BaseException) -> list[str]:
    """Return where an error was raised and what caused it, without foreign words; the last cause comes last.

    Each is `words_of` the error, then `file:line function` of its frames, outermost first.
    """
    lines: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = fault
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        lines += [words_of(current), *_frames(current.__traceback__)]
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)
    return lines


def _frames(trace: TracebackType | None) -> list[str]:
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"  {code.co_filename}:{trace.tb_lineno} {code.co_qualname}")
        trace = trace.tb_next
    return frames
