"""The function's credentials: in its environment, or asked for where a snapshot must not hold any.

Lambda puts keys into the environment of a function, except under SnapStart: a snapshot would keep them
beyond their end. There it names an address on the machine itself that gives out what is valid now, and so do
the containers of SageMaker.

Source: AWS Lambda developer guide, "Activating and managing Lambda SnapStart"; AWS SDKs and Tools Reference
Guide, "Container credential provider".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hotplate.aws.sigv4 import Credentials
from hotplate.errors import SettingsError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["current_credentials"]

_URI, _TOKEN = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"
# A path instead, in containers that ECS or SageMaker runs; the host is always this one.
_PATH, _PATH_HOST = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "http://169.254.170.2"
_TIMEOUT_S = 2.0
_MAX_BYTES = 64 * 1024


class _Given(msgspec.Struct, rename="pascal"):
    """What the address answers; other fields are not ours to use."""

    access_key_id: str
    secret_access_key: str
    token: str | None = None


def current_credentials(environ: Mapping[str, str]) -> Credentials:
    """Return credentials that are valid now, from `environ` or from where it says.

    Raises:
        SettingsError: It holds none and names no place on this machine.
        StoreUnavailableError: The place does not answer, or with something else.
    """
    place = environ.get(_URI, f"{_PATH_HOST}{environ[_PATH]}" if _PATH in environ else None)
    if "AWS_ACCESS_KEY_ID" in environ or place is None:
        return Credentials.from_environ(environ)
    return _asked(place, environ.get(_TOKEN, ""))


def _asked(place: str, token: str) -> Credentials:
    # Milliseconds each, which a function whose environment has its keys does not pay.
    import http.client
    from urllib.parse import urlsplit

    uri = urlsplit(place)
    if uri.scheme != "http" or not _is_here(uri.hostname or ""):
        raise SettingsError(f"{_URI} is not an http address of this machine: {place[:80]!r}")
    connection = http.client.HTTPConnection(uri.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", uri.path or "/", headers={"Authorization": token})
        with connection.getresponse() as answer:
            body = answer.read(_MAX_BYTES)
        if answer.status != http.client.OK:
            raise StoreUnavailableError(f"no credentials: {uri.netloc} answered {answer.status}")
        given = msgspec.json.decode(body, type=_Given)
    except (OSError, http.client.HTTPException) as fault:
        raise StoreUnavailableError(f"no credentials from {uri.netloc}: {fault!r}") from fault
    except msgspec.DecodeError as fault:  # its words name the place, never the value
        raise StoreUnavailableError(f"{uri.netloc} answered with no credentials: {fault}") from fault
    finally:
        connection.close()
    return Credentials(given.access_key_id, given.secret_access_key, given.token)


def _is_here(host: str) -> bool:
    """Return whether a host is this machine; secrets come in the clear from nowhere else."""
    import ipaddress  # as above

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_link_local
