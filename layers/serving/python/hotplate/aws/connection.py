"""One kept connection to a host that is asked with GET, in the clear or by TLS.

Written by hand for cold starts, which would pay more for `http.client` than for everything else that
fetching imports. It knows what reading objects takes and no more: no bodies are sent, and the caller takes
the answer's bytes.

Source: RFC 9112.
"""

from __future__ import annotations

import socket
from typing import IO, TYPE_CHECKING

from hotplate.aws.tls import TlsSocket
from hotplate.http1 import Head, read_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.aws.roots import Trust

__all__ = ["Connection"]


class Connection:
    """A connection to one host, opened when it is first asked; of one thread at a time but for `hang_up`.

    Attributes:
        socket: Where the body comes from once `receive_ahead` has given what came with the head; None while
            closed.
    """

    def __init__(self, host: str, trust: Trust | None) -> None:
        """Remember where to.

        Args:
            host: Name or address, with a port if it is not the scheme's own.
            trust: Makes TLS of it; None for a connection in the clear.
        """
        self._name, self._port = _split(host, 443 if trust else 80)
        self._trust = trust
        self.socket: socket.socket | TlsSocket | None = None
        self._stream: IO[bytes] | None = None

    def ask(self, path: str, headers: Mapping[str, str], timeout_s: float) -> Head:
        """Return the head of the answer to a GET.

        Args:
            path: Percent-encoded.
            headers: All that are sent, `host` among them.
            timeout_s: Longest silence, here and when the body is read.

        Raises:
            OSError: No connection, or no answer.
            MalformedAnswerError: What came is not HTTP.
        """
        if not self.socket or not self._stream:
            self.socket = self._opened(timeout_s)
            self._stream = self.socket.makefile("rb")
        self.socket.settimeout(timeout_s)
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.socket.sendall("\r\n".join(lines).encode("latin-1"))
        return read_head(self._stream)

    def receive_ahead(self, into: memoryview) -> int:
        """Return how many bytes of the body were put into `into`: those that came with the head, or more."""
        assert self._stream  # noqa: S101 - it was just asked
        return self._stream.readinto1(into)  # type: ignore[attr-defined, no-any-return]

    def hang_up(self) -> None:
        """End what another thread may be waiting for."""
        if opened := self.socket:
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it was closing by itself at this moment

    def close(self) -> None:
        """End the connection; the next question opens another."""
        if self._stream:
            self._stream.close()
        if self.socket:
            self.socket.close()
        self.socket = self._stream = None

    def _opened(self, timeout_s: float) -> socket.socket | TlsSocket:
        def connect() -> socket.socket:
            opened = socket.create_connection((self._name, self._port), timeout_s)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return opened

        return self._trust.secured(connect, self._name, TlsSocket) if self._trust else connect()


def _split(host: str, port: int) -> tuple[str, int]:
    """Return name and port of `host`, such as `s3.local`, `127.0.0.1:4566` or `[::1]:4566`."""
    name, colon, given = host.rpartition(":")
    if not colon or not given.isdecimal():
        return host.strip("[]"), port
    return name.strip("[]"), int(given)
