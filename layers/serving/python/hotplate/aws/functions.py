"""Calls another Lambda function and waits for its whole answer.

Lambda sends nothing until the function is done. Rules kept are those of `hotplate.aws.lambda_client`.

Source: AWS Lambda API Reference, "Invoke".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from hotplate.aws.lambda_client import LambdaClient, ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplate.aws.sigv4 import Credentials

__all__ = ["FunctionCaller"]

_PATH = "/2015-03-31/functions/{}/invocations"


class FunctionCaller:
    """Calls functions, one at a time."""

    def __init__(
        self, *, region: str, endpoint: str | None, credentials: Callable[[], Credentials], timeout_s: float
    ) -> None:
        """Connect when first used.

        Args:
            region: Where the functions are.
            endpoint: Another Lambda than AWS's, such as `http://127.0.0.1:4566`, or None.
            credentials: Read for each call; asked for the right to invoke.
            timeout_s: Longest wait for one answer.
        """
        self._client = LambdaClient(region=region, endpoint=endpoint, credentials=credentials)
        self._timeout_s = timeout_s

    def call(
        self, function: str, payload: bytes, tenant: str | None = None, *, timeout_s: float | None = None
    ) -> bytes:
        """Return what the function returned for `payload`.

        An answer that was streamed comes as the proxy result that it amounts to.

        Args:
            function: Its name, with `:ALIAS` behind it for another than the latest.
            payload: JSON.
            tenant: Whose environment is to run it; for functions that isolate tenants, and no other.
            timeout_s: Longest wait for this answer; None for that of all.

        Raises:
            StepUnavailableError: Throttled, or Lambda is not to be had.
            StepTimeoutError: No answer in `timeout_s`, or the function ran past its own time.
            StepError: Not allowed, not there, or the function ended with an error.
        """
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        answer = self._client.begin(_PATH, function, payload, tenant, wait_s=wait_s)
        body = self._client.read(answer)
        if answer.headers.get("X-Amz-Function-Error"):
            told = _object(body)
            raise ended(str(told.get("errorType", "")), str(told.get("errorMessage", "")))
        return _whole(body) if b"\0" in body else body  # JSON holds no zero byte

    def close(self) -> None:
        """End the connection; the next call opens another."""
        self._client.close()


def _whole(body: bytes) -> bytes:
    """Return the proxy result of a function that streams its answers."""
    from hotplate.streaming.response import proxy_result  # few functions ask one

    result = proxy_result(body)
    return body if result is None else orjson.dumps(result)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
