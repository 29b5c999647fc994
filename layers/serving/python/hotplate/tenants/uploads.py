"""Where a tenant's uploads lie in the data bucket, and which references are to one of them.

A key is `uploads/<folder>/<id>`. The folder is the tenant's name, in which every byte that is not an ASCII
letter, a digit, `.`, `_` or `-` is written `=XX` (`iam:1` is `iam=3A1`), and so is a dot in front: two
tenants never have one folder, and none is `..`. The id is 32 random hex digits, chosen by us.

So a reference is compared, never decoded: it is the caller's own if it is letter by letter the bucket's
and the folder's name and such an id. `..`, `%2F` and a query are no ids.
"""

from __future__ import annotations

import re
import secrets

from hotplate.errors import ForeignInputError

__all__ = ["PREFIX", "folder_of", "new_key", "own_key", "uri_of"]

PREFIX = "uploads/"
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_UNSAFE = re.compile(rb"^\.|[^A-Za-z0-9._-]")
_SHOWN = 120


def folder_of(tenant: str) -> str:
    """Return the folder of a tenant's uploads, with a slash at its end."""
    safe = _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], tenant.encode("utf-8", "surrogatepass"))
    return f"{PREFIX}{safe.decode()}/"


def new_key(tenant: str) -> str:
    """Return a key that no upload has."""
    return folder_of(tenant) + secrets.token_hex(16)


def uri_of(bucket: str, key: str) -> str:
    """Return the reference to an object."""
    return f"s3://{bucket}/{key}"


def own_key(uri: str, *, bucket: str, tenant: str, what: str) -> str:
    """Return the key that a reference names.

    Args:
        uri: As sent.
        bucket: The stack's data bucket.
        tenant: Who refers to it.
        what: The reference in words, for the error.

    Raises:
        ForeignInputError: It is not to an upload of this tenant.
    """
    folder = uri_of(bucket, folder_of(tenant))
    if uri.startswith(folder) and _ID.fullmatch(uri[len(folder) :]):
        return uri.removeprefix(uri_of(bucket, ""))
    expected = "an input_uri that POST /uploads gave to this tenant"
    raise ForeignInputError(what, expected=expected, received=repr(uri[:_SHOWN]))
