"""Lambda's context object, as awslambdaric gives it to a handler."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotplate.streaming.runtime_api import Invocation

__all__ = ["Context"]


class Context:
    """What a handler is told of its invocation.

    Attributes:
        aws_request_id, invoked_function_arn: Of the invocation.
        function_name, function_version, memory_limit_in_mb: Of the function; the memory as text.
        log_group_name, log_stream_name: Where it logs.
        tenant_id: Whose call it is, in a function whose tenants are kept apart; else None.
        client_context, identity: As the caller's SDK sent them, parsed; None for most callers.
    """

    def __init__(self, invocation: Invocation, environ: Mapping[str, str]) -> None:
        """Take the invocation's own, and the function's from Lambda's variables."""
        self.aws_request_id = invocation.id
        self.invoked_function_arn = invocation.arn
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION", "")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME", "")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self.tenant_id = invocation.headers.get("lambda-runtime-aws-tenant-id")
        self.client_context = _parsed(invocation.headers, "lambda-runtime-client-context")
        self.identity = _parsed(invocation.headers, "lambda-runtime-cognito-identity")
        self._deadline_ms = invocation.deadline_ms

    def get_remaining_time_in_millis(self) -> int:
        """Return the time until the function is stopped, in ms; 0 when it is over."""
        return max(0, self._deadline_ms - int(time.time() * 1000))


def _parsed(headers: Mapping[str, str], name: str) -> Any:
    value = headers.get(name)
    if not value:
        return None
    import json  # milliseconds, for what few callers send

    return json.loads(value)
