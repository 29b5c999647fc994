"""Whose certificates are believed: AWS's own authorities first, the system's when another one signed.

Reading the system's hundred and forty authorities takes a cold start twenty milliseconds of processor time,
and every host of AWS is signed by one of the four in `roots.pem`, which are among them. A host that is not
(an S3 of the user's own, a proxy that opens TLS) costs one more handshake, once.

Where `SSL_CERT_FILE` or `SSL_CERT_DIR` name authorities, those are believed and no others.

Source: Amazon Trust Services, https://www.amazontrust.com/repository/; a test holds that certifi has each.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["ROOTS", "Trust", "wrapped"]

ROOTS = Path(__file__).with_name("roots.pem")


class Trust:
    """Makes TLS of connections; safe to use from several threads."""

    def __init__(self) -> None:
        self._is_whole = "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ
        self._context = _system() if self._is_whole else ssl.create_default_context(cafile=str(ROOTS))

    def secured[T](
        self,
        connect: Callable[[], socket.socket],
        host: str,
        wrap: Callable[[ssl.SSLContext, socket.socket, str], T],
    ) -> T:
        """Return a connection to `host` whose certificate was believed.

        Args:
            connect: Opens a connection; called again where AWS's authorities are not enough.
            host: Its name, as its certificate has it.
            wrap: Makes TLS of it: `wrapped` or `TlsSocket`.

        Raises:
            OSError: There is no connection, or nobody who is believed signed.
        """
        was_whole = self._is_whole  # another thread may change it meanwhile
        try:
            return self._secured(connect(), host, wrap)
        except ssl.SSLCertVerificationError:
            if was_whole:
                raise
        self._context, self._is_whole = _system(), True
        return self._secured(connect(), host, wrap)

    def _secured[T](
        self, plain: socket.socket, host: str, wrap: Callable[[ssl.SSLContext, socket.socket, str], T]
    ) -> T:
        try:
            return wrap(self._context, plain, host)
        except OSError:
            plain.close()
            raise


def wrapped(context: ssl.SSLContext, plain: socket.socket, host: str) -> ssl.SSLSocket:
    """Return Python's own TLS, which is a socket in everything."""
    return context.wrap_socket(plain, server_hostname=host)


def _system() -> ssl.SSLContext:
    return ssl.create_default_context()
