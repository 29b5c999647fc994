"""Aliases: pointers to versions, and the only thing in a registry that moves.

A move names the pointer it replaces by its tag, so of two movers one wins and the other is told.
"""

from __future__ import annotations

import getpass
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hotplate.errors import ManifestError, StoreConflictError, StoreNotFoundError
from hotplate.limits import MAX_MANIFEST_BYTES
from hotplate.manifest.layout import (
    Alias,
    alias_key,
    decode_alias,
    encode_alias,
    manifest_key,
    version_of,
)
from hotplate.manifest.schema import decode
from hotplate_tools.failures import FailedError, RefusedError

if TYPE_CHECKING:
    from hotplate.store.base import Store

__all__ = ["MAX_ALIAS_BYTES", "MoveAlias", "move_alias", "plan_move", "promote", "read_alias", "rollback"]

# Ours; real ones are below 300 bytes.
MAX_ALIAS_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class MoveAlias:
    """Point an alias at a version.

    Attributes:
        name, alias: Which.
        from_version: Where it points now; None if there is no such alias yet.
        to_version, manifest_sha256: Where it is to point.
        etag: Tag of the pointer to be replaced; None if there is none.
    """

    name: str
    alias: str
    from_version: str | None
    to_version: str
    manifest_sha256: str
    etag: str | None


def read_alias(store: Store, name: str, alias: str) -> tuple[Alias, str] | None:
    """Return an alias and its tag, or None if there is none."""
    try:
        found = store.get(alias_key(name, alias), max_bytes=MAX_ALIAS_BYTES)
    except StoreNotFoundError:
        return None
    return decode_alias(found.body), found.etag


def plan_move(store: Store, name: str, alias: str, *, version: str, sha256: str) -> MoveAlias | None:
    """Return the move that makes `alias` point at the version, or None if it does."""
    found = read_alias(store, name, alias)
    if found is None:
        return MoveAlias(name, alias, None, version, sha256, None)
    current, etag = found
    if (current.version, current.manifest_sha256) == (version, sha256):
        return None
    return MoveAlias(name, alias, current.version, version, sha256, etag)


def move_alias(store: Store, move: MoveAlias) -> None:
    """Do a planned move.

    Raises:
        FailedError: The alias was moved elsewhere since the plan was made; it says where and by whom.
    """
    pointer = Alias(
        version=move.to_version,
        manifest_sha256=move.manifest_sha256,
        previous=move.from_version,
        moved_at=datetime.now(UTC).isoformat(timespec="seconds"),
        moved_by=_who(),
    )
    try:
        store.replace(alias_key(move.name, move.alias), encode_alias(pointer), etag=move.etag)
    except StoreConflictError as fault:
        # A retry inside the client can lose the race against its own first attempt, and another
        # publisher may have moved the alias to the same place; both are what was wanted.
        found = read_alias(store, move.name, move.alias)
        if found and found[0].version == move.to_version and found[0].manifest_sha256 == move.manifest_sha256:
            return
        won = f"{found[0].version} by {found[0].moved_by} at {found[0].moved_at}" if found else "nothing"
        raise FailedError(
            f"alias {move.alias!r} of {move.name} was moved meanwhile, to {won}",
            advice=f"Version {move.to_version} is published. To point there: "
            f"hotplate promote {move.name} {move.to_version} --alias {move.alias}",
        ) from fault


def promote(store: Store, name: str, version: str, alias: str) -> MoveAlias | None:
    """Point `alias` at a published version; return the move, or None if it points there already.

    Raises:
        RefusedError: There is no such version.
        ManifestError: What lies there is not the manifest of that version.
        FailedError: Somebody else moved the alias meanwhile.
    """
    sha256 = _published_digest(store, name, version)
    move = plan_move(store, name, alias, version=version, sha256=sha256)
    if move:
        move_alias(store, move)
    return move


def rollback(store: Store, name: str, alias: str) -> MoveAlias:
    """Point `alias` at the version before its last move; return the move. Twice is where it began.

    Raises:
        RefusedError: There is no such alias, no version before, or that version is gone.
        FailedError: Somebody else moved the alias meanwhile.
    """
    found = read_alias(store, name, alias)
    if found is None:
        raise RefusedError(f"{name} has no alias {alias!r}")
    current, etag = found
    if current.previous is None:
        raise RefusedError(
            f"alias {alias!r} of {name} never pointed at another version than {current.version}"
        )
    sha256 = _published_digest(store, name, current.previous)
    move = MoveAlias(name, alias, current.version, current.previous, sha256, etag)
    move_alias(store, move)
    return move


def _published_digest(store: Store, name: str, version: str) -> str:
    try:
        raw = store.get(manifest_key(name, version), max_bytes=MAX_MANIFEST_BYTES).body
    except StoreNotFoundError as fault:
        raise RefusedError(
            f"{name} has no version {version}", advice="`hotplate models` lists what there is."
        ) from fault
    manifest = decode(raw)
    if (manifest.name, version_of(manifest)[0]) != (name, version):
        raise ManifestError(
            f"under {name} {version} lies the manifest of {manifest.name} {version_of(manifest)[0]}"
        )
    return hashlib.sha256(raw).hexdigest()


def _who() -> str:
    try:
        return getpass.getuser()
    except OSError:  # no name for this user id, as in many containers
        return "unknown"
