"""A streaming function for tests: does what its event says, and says in its log what it did."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from hotplate.streaming import StreamedResponse

# Generators that nothing but `close` ends.
KEPT: list[Iterator[bytes]] = []

time.sleep(float(os.environ.get("INIT_S", "0")))
if os.environ.get("BROKEN_INIT"):
    raise ImportError("this module cannot be imported")


def handler(event: Mapping[str, Any], context: Any) -> Any:
    """Answer by the event's body (or, without one, the event): see the keys below."""
    body = event.get("body")
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body)
    wanted = json.loads(body) if body else event
    if "value" in wanted:
        return wanted["value"]
    if "refuse" in wanted:
        raise ValueError(wanted["refuse"])
    if wanted.get("context"):
        names = ("aws_request_id", "function_name", "memory_limit_in_mb", "invoked_function_arn")
        told = {name: getattr(context, name) for name in names}
        told["remaining_ms"] = context.get_remaining_time_in_millis()
        return {"statusCode": 200, "body": json.dumps(told), "headers": {"content-type": "application/json"}}
    chunks = count(wanted, context)
    if wanted.get("kept"):
        KEPT.append(chunks)
    return StreamedResponse(
        wanted.get("status", 200),
        {"content-type": "text/event-stream", "x-pid": str(os.getpid())},
        chunks,
        on_error=lambda fault: f"event: error\ndata: {type(fault).__name__}\n\n".encode(),
    )


def count(wanted: Mapping[str, Any], context: Any) -> Iterator[bytes]:
    """Yield `count` numbers, `every_s` apart; raise or stop dead `at` one."""
    made = 0
    try:
        for number in range(wanted.get("count", 3)):
            time.sleep(wanted.get("every_s", 0))
            if number == wanted.get("raise_at"):
                raise RuntimeError(wanted.get("message", "the model failed"))
            if number == wanted.get("hang_at"):
                time.sleep(60)
            made += 1
            yield f"data: {number}\n\n".encode()
    finally:
        # Seconds since 1970, to be compared with what the test saw.
        why = type(sys.exception()).__name__
        line = {"closed": made, "why": why, "at": time.time()}
        sys.stdout.write(json.dumps(line) + "\n")
