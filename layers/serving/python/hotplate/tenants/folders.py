"""A tenant's name as a folder of the data bucket.

Every byte that is not an ASCII letter, a digit, `.`, `_` or `-` is written `=XX` (`iam:1` is `iam=3A1`), and
so is a dot in front: two tenants never have one folder, and none is `..` or two folders deep.
"""

from __future__ import annotations

import re

__all__ = ["folder_of", "tenant_of"]

_WRITTEN = re.compile(rb"=([0-9A-F]{2})")
_UNSAFE = re.compile(rb"^\.|[^A-Za-z0-9._-]")


def folder_of(tenant: str) -> str:
    """Return the name of a tenant's folders."""
    return _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], tenant.encode("utf-8", "surrogatepass")).decode()


def tenant_of(folder: str) -> str:
    """Return the tenant whose folders have this name, which `folder_of` gave."""
    raw = _WRITTEN.sub(lambda found: bytes.fromhex(found[1].decode()), folder.encode())
    return raw.decode("utf-8", "surrogatepass")
