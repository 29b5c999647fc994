"""Calls of Lambda's API that run a function, by the standard library's client and our signature.

Rules kept:

1. The connection is kept. One that went stale while the environment was frozen is replaced once, and only
   before an answer began; nothing else is tried again, so a slow function is not asked twice.
2. No longer silence than the caller of each call says.
3. Faults are told apart by whether another try may help. What a function says of itself is told to nobody: it
   may quote what the function was asked.

Source: AWS Lambda API Reference, "Invoke" and "InvokeWithResponseStream".
"""

from __future__ import annotations

import http.client
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from hotplate.aws.sigv4 import domain_of, signed_headers
from hotplate.errors import HotplateError, StepError, StepTimeoutError, StepUnavailableError
from hotplate.limits import LAMBDA_PAYLOAD_BYTES

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from hotplate.aws.roots import Trust
    from hotplate.aws.sigv4 import Credentials

__all__ = ["LambdaClient", "ended"]

# Source: AWS Lambda Developer Guide, "Troubleshoot invocation issues"; id and time stand before it.
_TIMED_OUT = re.compile(r"Task timed out after [0-9.]+ seconds$")
_TENANT = "x-amz-tenant-id"
# A class's name, as runtimes give it.
_KIND = re.compile(r"[A-Za-z_][\w.]{0,99}")


class LambdaClient:
    """Calls functions, one at a time."""

    def __init__(self, *, region: str, endpoint: str | None, credentials: Callable[[], Credentials]) -> None:
        """Connect when first used.

        Args:
            region: Where the functions are.
            endpoint: Another Lambda than AWS's, such as `http://127.0.0.1:4566`, or None.
            credentials: Read for each call; asked for the right to invoke.
        """
        address = urlsplit(endpoint or f"https://lambda.{region}.{domain_of(region)}")
        self._scheme, self._host = address.scheme, address.netloc
        self._region, self._credentials = region, credentials
        self._wait_s = 0.0
        self._connection: http.client.HTTPConnection | None = None
        # Both kept beside: an answer after which the connection ends takes the socket away from there.
        self._socket: socket.socket | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._trust: Trust | None = None

    def begin(
        self, path: str, function: str, payload: bytes, tenant: str | None, *, wait_s: float
    ) -> http.client.HTTPResponse:
        """Have a function asked; return the answer that begins, of status 200, to be read.

        Args:
            path: Of the API, with `{}` for the function's name.
            function: Its name, with `:ALIAS` behind it for another than the latest.
            payload: JSON.
            tenant: Whose environment is to run it; for functions that isolate tenants, and no other.
            wait_s: Longest silence.

        Raises:
            StepUnavailableError: Throttled, or Lambda is not to be had.
            StepTimeoutError: No answer in that time.
            StepError: Not allowed, or not there.
        """
        self._wait_s = wait_s
        name, _, alias = function.partition(":")
        path = path.format(quote(name, safe=""))
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
        answer = self._post(f"{path}?{query}" if query else path, headers, payload)
        if answer.status == http.client.OK:
            return answer
        self.read(answer)  # so that the connection can be used again
        if answer.status == http.client.TOO_MANY_REQUESTS or answer.status >= 500:
            raise StepUnavailableError("its function is busy")
        raise StepError("its function cannot be called") from _RefusedError(
            f"Lambda answered {answer.status}"
        )

    def read(self, answer: http.client.HTTPResponse) -> bytes:
        """Return the body of an answer.

        Raises:
            StepUnavailableError: It broke off, or is larger than Lambda's are.
            StepTimeoutError: It does not come in time.
        """
        with self.reading():
            return _read(answer)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what reading an answer raises into a `StepError`; the connection ends with it."""
        try:
            yield
        except TimeoutError as fault:
            self.close()
            raise self._too_slow() from fault
        except (http.client.HTTPException, OSError) as fault:
            self.close()
            raise StepUnavailableError("its function's answer broke off") from fault

    def wait(self, seconds: float) -> None:
        """Set the longest silence from now on."""
        self._wait_s = seconds
        if self._socket:
            self._socket.settimeout(seconds)

    def close(self) -> None:
        """End the connection; the next call opens another."""
        for each in (self._connection, self._answer):
            if each:
                each.close()
        self._connection = self._socket = self._answer = None

    def _post(self, path: str, headers: dict[str, str], payload: bytes) -> http.client.HTTPResponse:
        is_kept = self._connection is not None
        try:
            return self._send(path, headers, payload)
        except TimeoutError as fault:
            self.close()
            raise self._too_slow() from fault
        except (http.client.HTTPException, OSError) as fault:
            self.close()
            if is_kept:  # it may have been closed while this environment was frozen
                return self._post(path, headers, payload)
            raise StepUnavailableError("its function cannot be reached") from fault

    def _send(self, path: str, headers: dict[str, str], payload: bytes) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.timeout = self._wait_s  # of a connection that is opened anew
        if self._connection.sock:
            self._connection.sock.settimeout(self._wait_s)
        self._connection.request("POST", path, body=payload, headers=headers)
        self._socket = self._connection.sock
        self._answer = self._connection.getresponse()
        return self._answer

    def _too_slow(self) -> StepTimeoutError:
        return StepTimeoutError(f"its function did not answer in {self._wait_s:.3g} s")

    def _connect(self) -> http.client.HTTPConnection:
        if self._scheme == "https":
            from hotplate.aws.https import TrustedConnection
            from hotplate.aws.roots import Trust

            self._trust = self._trust or Trust()
            return TrustedConnection(self._host, self._trust, timeout=self._wait_s)
        return http.client.HTTPConnection(self._host, timeout=self._wait_s)


def ended(kind: str, words: str) -> StepError:
    """Return what became of a function that ended with an error.

    Args:
        kind: Its type, as Lambda tells it.
        words: Its message; told to nobody.
    """
    # Lambda's own words are all that AWS has documented of a time-out; the type came later.
    if kind == "Sandbox.Timedout" or _TIMED_OUT.search(words):
        return StepTimeoutError("its function ran past its time")
    fault = StepError("its function ended with an error")
    fault.__cause__ = _RefusedError(kind if _KIND.fullmatch(kind) else "of no known type")
    return fault


def _read(answer: http.client.HTTPResponse) -> bytes:
    length = answer.length
    body = answer.read(LAMBDA_PAYLOAD_BYTES + 1)
    if len(body) > LAMBDA_PAYLOAD_BYTES:
        raise http.client.HTTPException(f"more than {LAMBDA_PAYLOAD_BYTES} bytes came")
    if length is not None and len(body) < length:  # a read with a bound says nothing of a body cut short
        raise http.client.IncompleteRead(body, length - len(body))
    return body


class _RefusedError(HotplateError):
    """What Lambda said, for the log."""
