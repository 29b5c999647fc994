"""Reads a model from S3 on the cold path: HTTP of our own and our signature.

Rules kept:

1. Nothing is believed: a length that differs from the one published is an error before the body
   is read, and no more bytes are read than were asked for.
2. A passing fault (time-out, broken connection, 429, 5xx, short body) is retried, each range by
   itself; a verdict (404, 403, wrong length) is not.
3. Everything ends by the deadline, however slowly bytes dribble in.
4. Connections are kept alive, and each is one thread's at a time; `close` ends them all.
5. All connections are open at once, but one thread at a time takes bytes from them: each read gives up
   Python's lock and has to get it back, and several threads spend more time on that than one on reading.

boto3 is not used here: its import alone is longer than this module's whole work. Nor is `http.client`
(see `hotplate.http1`).
"""

from __future__ import annotations

import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hotplate.aws.connection import Connection
from hotplate.aws.roots import Trust
from hotplate.aws.sigv4 import Credentials, domain_of, percent_encoded, signed_headers
from hotplate.aws.tls import TlsSocket
from hotplate.errors import (
    LengthMismatchError,
    SettingsError,
    StoreConflictError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnavailableError,
)
from hotplate.http1 import Head, MalformedAnswerError
from hotplate.limits import STORE_ATTEMPTS, STORE_BACKOFF_S

if TYPE_CHECKING:
    import socket

    from hotplate.settings import Settings

__all__ = ["S3Reader", "bucket_address"]

# Longest silence on a socket, in seconds, before the read is tried again.
_SILENCE_S = 5.0
# `http.HTTPStatus` takes a millisecond to be made.
_OK, _PARTIAL_CONTENT = 200, 206
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_PRECONDITION_FAILED, _RANGE_NOT_SATISFIABLE, _TOO_MANY_REQUESTS = 412, 416, 429
_INTERNAL_SERVER_ERROR = 500
_CONTENT_RANGE = re.compile(r"^bytes (\d+)-(\d+)/(\d+)$")


class S3Reader:
    """The `Reader` of functions; see the module for the rules it keeps."""

    def __init__(
        self, *, bucket: str, region: str, endpoint: str | None, credentials: Credentials, deadline_s: float
    ) -> None:
        """Read `bucket`; connections open when first used.

        Args:
            bucket: Its name.
            region: Where the bucket is.
            endpoint: Another S3 than AWS's, such as `http://127.0.0.1:4566`, or None.
            credentials: Whose; asked for the right to read.
            deadline_s: Seconds from now after which every read fails.
        """
        self._region = region
        self._credentials = credentials
        self._deadline = time.monotonic() + deadline_s
        self._scheme, self._host, self._prefix = bucket_address(bucket, region, endpoint)
        self._local = threading.local()
        self._reading = threading.Lock()
        self._connections: list[Connection] = []
        self._idle: list[Connection] = []
        self._trust = Trust() if self._scheme == "https" else None
        # A time-out on a socket bounds one silence, not the sum of them, so an alarm ends what is open.
        self._alarm = threading.Timer(deadline_s, self._hang_up)
        self._alarm.daemon = True
        self._alarm.start()

    @classmethod
    def from_settings(cls, settings: Settings, credentials: Credentials) -> S3Reader:
        """Return a reader of the deployment's bucket whose deadline starts now."""
        return cls(
            bucket=settings.bucket,
            region=settings.region,
            endpoint=settings.s3_endpoint,
            credentials=credentials,
            deadline_s=settings.fetch_timeout_s,
        )

    def read_small(self, key: str, *, max_bytes: int) -> bytes:
        """Return the whole object; see `Reader.read_small`."""

        def whole(head: Head) -> bytes:
            length = head.length
            if length is None:
                raise _PassingError(f"{key}: no Content-Length")
            if length > max_bytes:
                raise LengthMismatchError(f"{key}: {length} bytes, at most {max_bytes} are accepted", length)
            body = bytearray(length)
            self._fill(head, memoryview(body), key)
            return bytes(body)

        return self._get(key, {}, whole)

    def read_range(
        self, key: str, *, start: int, into: memoryview, object_bytes: int, etag: str = ""
    ) -> None:
        """Fill `into`; see `Reader.read_range`. Safe to call from several threads at once.

        Raises:
            StoreConflictError: What lies there has another entity tag than `etag`, if one is given.
        """
        last = start + len(into) - 1
        extra = {"range": f"bytes={start}-{last}", **({"if-match": f'"{etag}"'} if etag else {})}

        def part(head: Head) -> None:
            found = _CONTENT_RANGE.match(head.headers.get("content-range", ""))
            if head.status != _PARTIAL_CONTENT or not found:
                raise _PassingError(f"{key}: a range was asked for, the answer is not one")
            first_sent, last_sent, length = (int(number) for number in found.groups())
            if length != object_bytes:
                raise LengthMismatchError(f"{key}: {length} bytes, {object_bytes} were published", length)
            if (first_sent, last_sent) != (start, last):
                raise _PassingError(f"{key}: bytes {first_sent}-{last_sent} came, not {start}-{last}")
            self._fill(head, into, key)

        try:
            self._get(key, extra, part)
        except _OutOfRangeError as fault:
            raise LengthMismatchError(f"{key}: shorter than the {object_bytes} bytes published", 0) from fault

    def close(self) -> None:
        """End all connections, and the alarm."""
        self._alarm.cancel()
        for connection in self._connections:
            connection.close()

    def _hang_up(self) -> None:
        for connection in self._connections:
            connection.hang_up()

    def _get[T](self, key: str, extra: dict[str, str], use: Callable[[Head], T]) -> T:
        """Return what `use` makes of the answer, trying again after passing faults."""
        path = self._prefix + percent_encoded(key)
        pause = STORE_BACKOFF_S
        for attempt in range(1, STORE_ATTEMPTS + 1):
            try:
                with self._answer(path, extra) as head:
                    _raise_for_status(head.status, key)
                    return use(head)
            except (_PassingError, OSError, MalformedAnswerError) as fault:
                remaining = self._deadline - time.monotonic()
                if attempt == STORE_ATTEMPTS or remaining <= pause:
                    raise StoreUnavailableError(f"{key}: gave up at attempt {attempt}: {fault!r}") from fault
                time.sleep(pause)
                pause *= 2
        raise AssertionError("the loop above returns or raises")

    @contextmanager
    def _answer(self, path: str, extra: dict[str, str]) -> Iterator[Head]:
        """Yield the answer to a signed GET; a connection whose answer was not read to its end is dropped."""
        headers = signed_headers(
            self._credentials, host=self._host, path=path, region=self._region, extra=extra
        )
        connection = self._local.connection = self._idle_connection()
        try:
            head = connection.ask(path, headers, self._patience())
            yield head
            if head.is_last:
                connection.close()
        except BaseException:
            connection.close()
            raise
        finally:
            self._idle.append(connection)

    def _idle_connection(self) -> Connection:
        """Return one that nobody uses: the first of several threads goes on with the manifest's."""
        try:
            return self._idle.pop()
        except IndexError:
            connection = Connection(self._host, self._trust)
            self._connections.append(connection)
            return connection

    def _fill(self, head: Head, into: memoryview, key: str) -> None:
        """Read exactly as many bytes as `into` holds, straight into it."""
        if head.length != len(into):
            raise _PassingError(f"{key}: {head.length} bytes were announced, not {len(into)}")
        connection: Connection = self._local.connection
        done = connection.receive_ahead(into) if into else 0
        assert connection.socket  # noqa: S101 - the head came by it
        arrival = _Arrival(connection.socket)
        while done < len(into):
            arrival.wait(self._patience())
            with self._reading:
                count = arrival.receive(into[done:])
            if count is None:
                continue  # a part of a record, whose rest another connection does not wait for
            if not count:
                raise _PassingError(f"{key}: the body ended after {done} of {len(into)} bytes")
            done += count

    def _patience(self) -> float:
        """Return how long the next read may be silent, in seconds."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise StoreUnavailableError("S3 was too slow: the time for reading is over")
        return min(_SILENCE_S, remaining)


class _Arrival:
    """Takes what a socket has, and waits for more apart from that."""

    def __init__(self, sock: socket.socket | TlsSocket) -> None:
        self._sock = sock
        self._decrypted: Callable[[], bool] = bool
        self._take: Callable[[memoryview], int | None] = sock.recv_into
        if isinstance(sock, TlsSocket):
            self._decrypted, self._take = sock.pending, sock.receive_now
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def wait(self, timeout_s: float) -> None:
        """Return when there are bytes, or the end.

        Raises:
            TimeoutError: Neither came in that many seconds.
        """
        if not self._decrypted() and not self._poll.poll(timeout_s * 1000):
            raise TimeoutError(f"nothing came in {timeout_s:.1f} s")

    def receive(self, into: memoryview) -> int | None:
        """Return how many bytes of those that are there were put into `into`; 0: the end, None: none yet."""
        done = 0
        while done < len(into):
            count = self._take(into[done:])
            if not count:
                return done or count
            done += count
            if not (self._decrypted() or self._poll.poll(0)):
                break
        return done


class _PassingError(Exception):
    """A fault that the next attempt may not meet."""


class _OutOfRangeError(StoreError):
    """The range starts past the end of the object."""


def _raise_for_status(status: int, key: str) -> None:
    if status in (_OK, _PARTIAL_CONTENT):
        return
    if status == _NOT_FOUND:
        raise StoreNotFoundError(f"{key}: not in the bucket")
    if status in (_FORBIDDEN, _UNAUTHORIZED):
        raise StoreDeniedError(
            f"{key}: access denied (or not in the bucket, for a role that may not list it)"
        )
    if status == _PRECONDITION_FAILED:
        raise StoreConflictError(f"{key}: was replaced by another object")
    if status == _RANGE_NOT_SATISFIABLE:
        raise _OutOfRangeError(key)
    if status >= _INTERNAL_SERVER_ERROR or status == _TOO_MANY_REQUESTS:
        raise _PassingError(f"{key}: S3 answered {status}")
    raise StoreError(f"{key}: S3 answered {status}")


def bucket_address(bucket: str, region: str, endpoint: str | None) -> tuple[str, str, str]:
    """Return (scheme, host, path prefix): path style at a given endpoint, virtual-hosted at AWS."""
    if endpoint:
        from urllib.parse import urlsplit  # milliseconds, which only who has an S3 of his own pays

        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise SettingsError(f"the S3 endpoint {endpoint!r} is not an http(s) address")
        return parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{percent_encoded(bucket)}/"
    domain = domain_of(region)
    if "." in bucket:  # the wildcard certificate does not cover a bucket name with dots
        return "https", f"s3.{region}.{domain}", f"/{percent_encoded(bucket)}/"
    return "https", f"{bucket}.s3.{region}.{domain}", "/"
