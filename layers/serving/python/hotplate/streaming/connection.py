"""HTTP/1.1 by hand, one kept connection to an address of this machine: what Lambda's Runtime API takes.

`http.client` would cost a cold start more than the rest of the loop, and knows no trailers.

Source: RFC 9112.
"""

from __future__ import annotations

import socket
from io import BufferedReader

from hotplate.http1 import MalformedAnswerError, read_head, read_line

__all__ = ["Connection", "ProtocolError"]


class ProtocolError(Exception):
    """The Runtime API said something that it does not say, or refused."""


class Connection:
    """A connection to `address`, `host:port`, that is opened when something is sent and there is none."""

    def __init__(self, address: str) -> None:
        """Remember where to."""
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._socket: socket.socket | None = None
        self._answers: BufferedReader | None = None

    def is_answered(self) -> bool:
        """Wait until an answer comes; return whether one does, or the other side hung up instead."""
        if self._answers is None:
            return False
        try:
            if self._answers.peek(1):
                return True
        except OSError:
            pass  # as good as hung up
        self.close()
        return False

    def send(self, data: bytes, *, is_first: bool = True) -> None:
        """Send bytes.

        Args:
            data: Of a request.
            is_first: Whether a request begins with them, which may go by a new connection.

        Raises:
            OSError: They cannot be sent.
        """
        if is_first and self.has_news():
            self.close()  # nothing is due, so it was closed meanwhile
        if self._socket is None:
            if not is_first:
                raise ConnectionResetError("the connection is closed")
            self._socket = socket.create_connection(self._address)
            # Chunks are small and each is wanted at once.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._answers = self._socket.makefile("rb")
        try:
            self._socket.sendall(data)
        except OSError:
            self.close()
            raise

    def read_answer(self) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the answer that is due.

        Raises:
            OSError, ProtocolError: There is none, or it is no success.
        """
        try:
            head = read_head(self._due())
            body = (
                self._chunks()
                if "chunked" in head.headers.get("transfer-encoding", "")
                else self._exactly(head.length or 0)
            )
        except MalformedAnswerError as fault:
            self.close()  # what comes next on it is anybody's guess
            raise ProtocolError(f"the Runtime API: {fault}") from fault
        if head.is_last:
            self.close()
        if not 200 <= head.status < 300:
            raise ProtocolError(f"the Runtime API answered {head.status} {head.reason}: {body[:300]!r}")
        return head.headers, body

    def close(self) -> None:
        """End the connection; the next request opens another."""
        if self._socket and self._answers:
            self._answers.close()
            self._socket.close()
        self._socket = self._answers = None

    def has_news(self) -> bool:
        """Return whether something came by the connection, or it was closed; without waiting."""
        if self._socket is None:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _due(self) -> BufferedReader:
        assert self._answers  # noqa: S101 - something was just sent
        return self._answers

    def _exactly(self, length: int) -> bytes:
        body = self._due().read(length)
        if len(body) < length:
            raise ConnectionResetError("the Runtime API hung up")
        return body

    def _chunks(self) -> bytes:
        parts = []
        while size := int(read_line(self._due()).split(";")[0], 16):
            parts.append(self._exactly(size))
            read_line(self._due())
        while read_line(self._due()):
            pass  # trailers
        return b"".join(parts)
