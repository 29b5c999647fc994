"""Telling a caller's own server of a job: where that may be, and how what it is told is signed. Pure.

Rules kept:

1. Where we send to is chosen by a caller, and we stand where he does not: only `https`, and only addresses
   that anybody can reach. The name is judged here; the address it leads to is judged when it is connected
   to (`functions.webhooks.send`), because it may lead elsewhere by then.
2. What is signed is the id, the time and the body together: none of them can be taken for another's.

Source: Standard Webhooks specification 1.0.0, "Signature scheme" (symmetric).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
import secrets
from urllib.parse import urlsplit

from hotplate.errors import MalformedRequestError

__all__ = ["ANYWHERE", "MAX_URL_CHARS", "is_public", "new_secret", "read_webhook", "sign"]

# What allows receivers that only we can reach, and `http`: on the local cloud.
ANYWHERE = "anywhere-for-development"
# Ours; browsers and proxies bear as much.
MAX_URL_CHARS = 2000
_PREFIX = "whsec_"
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+", re.IGNORECASE)
# Of machines and networks of one's own, whoever answers for them. Source: RFC 6761, RFC 6762, RFC 8375.
_OWN = (".localhost", ".local", ".internal", ".home.arpa")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_PRINTABLE = re.compile(r"[!-~]+")


def new_secret() -> str:
    """Return a new secret, as libraries of the specification read it: 256 random bits."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, *, message: str, at: int, body: bytes) -> str:
    """Return the signature of a message, as it stands in `webhook-signature`.

    Args:
        secret: Of `new_secret`.
        message: Its id.
        at: Seconds since 1970.
        body: As it is sent.
    """
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    digest = hmac.new(key, f"{message}.{at}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def read_webhook(url: str, *, anywhere: bool) -> str:
    """Return the address of a receiver, if it can be one.

    Args:
        url: As the caller gave it.
        anywhere: Whether `http`, and machines that only we can reach, are allowed: on the local cloud.

    Raises:
        MalformedRequestError: It cannot.
    """
    expected = "an https address of a server that anybody can reach, without user and fragment"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as fault:
        raise MalformedRequestError("webhook", expected=expected, received=repr(url[:80])) from fault
    fits = len(url) <= MAX_URL_CHARS and _PRINTABLE.fullmatch(url) and "@" not in parts.netloc
    schemes = ("https", "http") if anywhere else ("https",)
    if not (fits and host and parts.scheme in schemes and not parts.fragment and (anywhere or _may_be(host))):
        raise MalformedRequestError("webhook", expected=expected, received=repr(url[:80]))
    return url


def is_public(address: str) -> bool:
    """Return whether an IP address is one that anybody can reach."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address) and (inner := _inner(found)):
        return is_public(str(inner))
    return found.is_global and not found.is_multicast


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to, if it does."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _may_be(host: str) -> bool:
    """Return whether a host can be a public one, as far as its name says."""
    try:
        return is_public(host)
    except ValueError:
        # Numbers in other notations are no names: `127.1` is this machine to some resolvers.
        last = host.rpartition(".")[2]
        return bool(_NAME.fullmatch(host)) and not last.isdigit() and not host.lower().endswith(_OWN)
