"""Where a registry keeps what: the keys of blobs, versions and aliases, and what an alias says.

    blobs/sha256/<hex>                              bytes of one file
    models/<name>/versions/<version>/manifest.json  canonical JSON
    models/<name>/versions/<version>/measurements.json  what the publishing machine measured of it
    models/<name>/aliases/<alias>.json              an `Alias`

Blobs and versions never change once written; only an alias moves, by conditional write.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from hotplate.errors import ManifestError
from hotplate.manifest.schema import Manifest, Sha256, encode

__all__ = [
    "Alias",
    "alias_key",
    "blob_key",
    "decode_alias",
    "encode_alias",
    "manifest_key",
    "measurements_key",
    "version_of",
]

VERSION_DIGITS = 12

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")


class Alias(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pointer to a version.

    Attributes:
        version: The version pointed to.
        manifest_sha256: Digest of its manifest, so the pointer pins bytes, not only a name.
        previous: The version before this move; None for the first.
        moved_at: When, as RFC 3339 in UTC.
        moved_by: Who, in words.
    """

    version: str
    manifest_sha256: Sha256
    previous: str | None
    moved_at: str
    moved_by: str


def version_of(manifest: Manifest) -> tuple[str, str]:
    """Return (version, hex SHA-256 of the canonical bytes)."""
    digest = hashlib.sha256(encode(manifest)).hexdigest()
    return manifest.version or digest[:VERSION_DIGITS], digest


def blob_key(sha256: str) -> str:
    """Return the key of the blob with this hex digest."""
    return f"blobs/sha256/{sha256}"


def manifest_key(name: str, version: str) -> str:
    """Return the key of a version's manifest."""
    return f"models/{_plain(name)}/versions/{_plain(version)}/manifest.json"


def measurements_key(name: str, version: str) -> str:
    """Return the key of what was measured of a version; no part of the version itself."""
    return f"models/{_plain(name)}/versions/{_plain(version)}/measurements.json"


def alias_key(name: str, alias: str) -> str:
    """Return the key of an alias."""
    return f"models/{_plain(name)}/aliases/{_plain(alias)}.json"


def encode_alias(alias: Alias) -> bytes:
    """Return the alias as JSON."""
    return msgspec.json.encode(alias)


def decode_alias(raw: bytes) -> Alias:
    """Return the alias in `raw`.

    Raises:
        ManifestError: `raw` is not an alias.
    """
    try:
        return msgspec.json.decode(raw, type=Alias)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise ManifestError(f"not an alias: {fault}") from fault


def _plain(name: str) -> str:
    if not _NAME.match(name):
        raise ManifestError(f"{name!r} is no name of a model, version or alias: letters, digits and ._- only")
    return name
