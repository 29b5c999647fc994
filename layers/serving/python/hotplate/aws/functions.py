"""Calls another Lambda function and waits for its answer: the standard library's client and our signature.

Rules kept:

1. The connection is kept. One that went stale while the environment was frozen is replaced once, and only
   before an answer began; nothing else is tried again, so a slow function is not asked twice.
2. No longer silence than `timeout_s`. Lambda sends nothing until the function is done.
3. Faults are told apart by whether another try may help.

Source: AWS Lambda API Reference, "Invoke".
"""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import orjson

from hotplate.aws.sigv4 import domain_of, signed_headers
from hotplate.errors import HotplateError, StepError, StepTimeoutError, StepUnavailableError
from hotplate.limits import LAMBDA_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplate.aws.roots import Trust
    from hotplate.aws.sigv4 import Credentials

__all__ = ["FunctionCaller"]

# Source: AWS Lambda Developer Guide, "Troubleshoot invocation issues"; id and time stand before it.
_TIMED_OUT = re.compile(r"Task timed out after [0-9.]+ seconds$")
_TENANT = "x-amz-tenant-id"
# A class's name, as runtimes give it.
_KIND = re.compile(r"[A-Za-z_][\w.]{0,99}")


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
        address = urlsplit(endpoint or f"https://lambda.{region}.{domain_of(region)}")
        self._scheme, self._host = address.scheme, address.netloc
        self._region, self._credentials, self._timeout_s = region, credentials, timeout_s
        self._wait_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._trust: Trust | None = None

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
        self._wait_s = self._timeout_s if timeout_s is None else timeout_s
        name, _, alias = function.partition(":")
        path = f"/2015-03-31/functions/{quote(name, safe='')}/invocations"
        query = f"Qualifier={quote(alias, safe='')}" if alias else ""
        headers = signed_headers(
            self._credentials(),
            host=self._host,
            path=path,
            query=query,
            region=self._region,
            extra={"content-type": "application/json", **({_TENANT: tenant} if tenant else {})},
            service="lambda",
            method="POST",
            body=payload,
        )
        status, error, body = self._post(f"{path}?{query}" if query else path, headers, payload)
        if status == http.client.TOO_MANY_REQUESTS or status >= http.client.INTERNAL_SERVER_ERROR:
            raise StepUnavailableError("its function is busy")
        if status != http.client.OK:
            raise StepError("its function cannot be called") from _RefusedError(f"Lambda answered {status}")
        if error:
            raise _ended(body)
        return _whole(body) if b"\0" in body else body  # JSON holds no zero byte

    def close(self) -> None:
        """End the connection; the next call opens another."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def _post(self, path: str, headers: dict[str, str], payload: bytes) -> tuple[int, str | None, bytes]:
        is_kept = self._connection is not None
        try:
            answer = self._begin(path, headers, payload)
        except TimeoutError as fault:
            self.close()
            raise self._too_slow() from fault
        except (http.client.HTTPException, OSError) as fault:
            self.close()
            if is_kept:  # it may have been closed while this environment was frozen
                return self._post(path, headers, payload)
            raise StepUnavailableError("its function cannot be reached") from fault
        try:
            return answer.status, answer.headers.get("X-Amz-Function-Error"), _read(answer)
        except TimeoutError as fault:
            self.close()
            raise self._too_slow() from fault
        except (http.client.HTTPException, OSError) as fault:
            self.close()
            raise StepUnavailableError("its function's answer broke off") from fault

    def _begin(self, path: str, headers: dict[str, str], payload: bytes) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.timeout = self._wait_s  # of a connection that is opened anew
        if self._connection.sock:
            self._connection.sock.settimeout(self._wait_s)
        self._connection.request("POST", path, body=payload, headers=headers)
        return self._connection.getresponse()

    def _too_slow(self) -> StepTimeoutError:
        return StepTimeoutError(f"its function did not answer in {self._wait_s:.3g} s")

    def _connect(self) -> http.client.HTTPConnection:
        if self._scheme == "https":
            from hotplate.aws.https import TrustedConnection
            from hotplate.aws.roots import Trust

            self._trust = self._trust or Trust()
            return TrustedConnection(self._host, self._trust, timeout=self._wait_s)
        return http.client.HTTPConnection(self._host, timeout=self._wait_s)


def _whole(body: bytes) -> bytes:
    """Return the proxy result of a function that streams its answers."""
    import orjson

    from hotplate.streaming.response import proxy_result  # few functions ask one

    result = proxy_result(body)
    return body if result is None else orjson.dumps(result)


def _read(answer: http.client.HTTPResponse) -> bytes:
    length = answer.length
    body = answer.read(LAMBDA_PAYLOAD_BYTES + 1)
    if len(body) > LAMBDA_PAYLOAD_BYTES:
        raise http.client.HTTPException(f"more than {LAMBDA_PAYLOAD_BYTES} bytes came")
    if length is not None and len(body) < length:  # a read with a bound says nothing of a body cut short
        raise http.client.IncompleteRead(body, length - len(body))
    return body


def _ended(body: bytes) -> StepError:
    """Return what became of a function that ended with an error, as Lambda tells it.

    Its message is told to nobody: it is the function's own, and may quote what the function was asked.
    """
    told = _object(body)
    kind, words = str(told.get("errorType", "")), str(told.get("errorMessage", ""))
    # Lambda's own words are all that AWS has documented of a time-out; the type came later.
    if kind == "Sandbox.Timedout" or _TIMED_OUT.search(words):
        return StepTimeoutError("its function ran past its time")
    fault = StepError("its function ended with an error")
    fault.__cause__ = _RefusedError(kind if _KIND.fullmatch(kind) else "of no known type")
    return fault


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


class _RefusedError(HotplateError):
    """What Lambda said, for the log."""
