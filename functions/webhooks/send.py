"""One POST to an address that a stranger chose.

Rules kept:

1. The name is looked up once, each address it has is judged, and the connection is made to one of those: a
   name that leads elsewhere a moment later gains nothing.
2. No redirect is followed, nothing of the answer is read but its status and headers, and no silence is longer
   than `TIMEOUT_S`.
3. TLS is checked against the name.

Source: OWASP Server-Side Request Forgery Prevention Cheat Sheet, case 2.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hotplate.errors import HotplateError
from hotplate.tenants.webhooks import is_public

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TIMEOUT_S", "NotPublicError", "NotReachedError", "post"]

# Seconds that connecting, and each read or write, may take.
TIMEOUT_S = 5.0


class NotReachedError(HotplateError):
    """The receiver cannot be reached, or gave no answer in time."""


class NotPublicError(HotplateError):
    """The receiver is at an address that not everybody can reach."""


def post(url: str, body: bytes, headers: Mapping[str, str], *, anywhere: bool) -> int:
    """Send a body and return the status of the answer.

    Args:
        url: `https`, or `http` where `anywhere`.
        body: To be sent.
        headers: With it.
        anywhere: Whether any address will do.

    Raises:
        NotPublicError: The address is not public; nothing was sent.
        NotReachedError: There is no such name, nobody answers there, or not in time.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    address = _address(host, port, anywhere=anywhere)
    connection = _Pinned(host, port, address) if parts.scheme == "https" else _plain(address, port)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, body=body, headers={"host": parts.netloc, **headers})
        return int(connection.getresponse().status)
    except (http.client.HTTPException, OSError) as fault:
        raise NotReachedError(f"{host}: {type(fault).__name__}") from fault
    finally:
        connection.close()


def _address(host: str, port: int, *, anywhere: bool) -> str:
    try:
        found = [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as fault:
        raise NotReachedError(f"{host}: there is no such name") from fault
    if not anywhere and not all(is_public(each) for each in found):
        raise NotPublicError(f"{host} is not public")
    return found[0]


def _plain(address: str, port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)


class _Pinned(http.client.HTTPSConnection):
    """A connection by TLS to an address that was looked up before."""

    def __init__(self, host: str, port: int, address: str) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=TIMEOUT_S, context=self._tls)
        self._address = address

    def connect(self) -> None:
        """Connect to the address, and have TLS prove the name."""
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
