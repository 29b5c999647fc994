"""`http.client`'s connection by TLS that believes whom `hotplate.aws.roots` believes: for what sends bodies.

Its own HTTPS connection would read the system's authorities each time one is made.
"""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING

from hotplate.aws.roots import wrapped

if TYPE_CHECKING:
    from hotplate.aws.roots import Trust

__all__ = ["TrustedConnection"]


class TrustedConnection(http.client.HTTPConnection):
    """A connection by TLS to one host, opened when something is asked; else as its base."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, trust: Trust, *, timeout: float) -> None:
        """Remember where to.

        Args:
            host: Name or address, with a port if it is not 443.
            trust: Whose certificates are believed.
            timeout: Longest silence, in seconds.
        """
        super().__init__(host, timeout=timeout)
        self._trust = trust

    def connect(self) -> None:
        """Open the connection.

        Raises:
            OSError: There is none, or nobody who is believed signed the host's certificate.
        """
        self.sock = self._trust.secured(self._plain, self.host, wrapped)

    def _plain(self) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plain
