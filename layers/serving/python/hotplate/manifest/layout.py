"""Where a registry keeps what: the keys of blobs, versions and aliases, and what an alias says.

    blobs/sha256/<hex>                              bytes of one file
    models/<name>/versions/<version>/manifest.json  canonical JSON
    models/<name>/versions/<version>/manifest.sig   its signature, if it is signed
    models/<name>/versions/<version>/measurements.json  what the publishing machine measured of it
    models/<name>/aliases/<alias>.json              an `Alias`

Blobs and versions never change once written; only an alias moves, by conditional write.
"""

from __future__ import annotations

import re

import msgspec

from hotplate.errors import ManifestError
from hotplate.manifest.digest import sha256_hex
from hotplate.manifest.record import Sha256
from hotplate.manifest.schema import Manifest, encode

__all__ = [
    "HISTORY_MOVES",
    "Alias",
    "Move",
    "alias_key",
    "blob_key",
    "decode_alias",
    "encode_alias",
    "manifest_key",
    "measurements_key",
    "signature_key",
    "version_of",
]

VERSION_DIGITS = 12

# Moves that an alias remembers. Ours: a month of daily ones; with it an alias stays below 8 KiB.
HISTORY_MOVES = 32

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One move of an alias that is over.

    Attributes:
        version: Where it pointed from then on.
        moved_at, moved_by: As of `Alias`.
    """

    version: str
    moved_at: str
    moved_by: str


class Alias(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pointer to a version.

    The history lies in the pointer itself, so the one conditional write that moves it also writes
    its history: it cannot fork, and no second object can fall behind.

    Attributes:
        version: The version pointed to.
        manifest_sha256: Digest of its manifest, so the pointer pins bytes, not only a name.
        previous: The version before this move; None for the first.
        moved_at: When, as RFC 3339 in UTC.
        moved_by: Who, in words.
        moves: How often it was moved, this time included.
        token: Drawn for this move; tells a mover its own write from another's of the same version.
        history: The moves before this one, newest first; the last `HISTORY_MOVES` of them.
    """

    version: str
    manifest_sha256: Sha256
    previous: str | None
    moved_at: str
    moved_by: str
    moves: int = 1
    token: str = ""
    history: tuple[Move, ...] = ()

    def then(self, *, version: str, manifest_sha256: str, moved_at: str, moved_by: str, token: str) -> Alias:
        """Return the pointer after its next move."""
        over = Move(self.version, self.moved_at, self.moved_by)
        return Alias(
            version=version,
            manifest_sha256=manifest_sha256,
            previous=self.version,
            moved_at=moved_at,
            moved_by=moved_by,
            moves=self.moves + 1,
            token=token,
            history=(over, *self.history)[:HISTORY_MOVES],
        )


def version_of(manifest: Manifest) -> tuple[str, str]:
    """Return (version, hex SHA-256 of the canonical bytes)."""
    digest = sha256_hex(encode(manifest))
    return manifest.version or digest[:VERSION_DIGITS], digest


def blob_key(sha256: str) -> str:
    """Return the key of the blob with this hex digest."""
    return f"blobs/sha256/{sha256}"


def manifest_key(name: str, version: str) -> str:
    """Return the key of a version's manifest."""
    return f"models/{_plain(name)}/versions/{_plain(version)}/manifest.json"


def signature_key(name: str, version: str) -> str:
    """Return the key of the signature of a version's manifest."""
    return f"models/{_plain(name)}/versions/{_plain(version)}/manifest.sig"


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
