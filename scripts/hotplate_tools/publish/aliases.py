"""Aliases: pointers to versions, and the only thing in a registry that moves.

A move names the pointer it replaces by its tag, so of two movers one wins and the other is told.
Each pointer carries the moves before it, so the history of an alias is one line, whoever races.
"""

from __future__ import annotations

import getpass
import hashlib
import secrets
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

__all__ = [
    "MAX_ALIAS_BYTES",
    "MoveAlias",
    "Promotion",
    "move_alias",
    "plan_move",
    "promote",
    "read_alias",
    "rollback",
]

# Ours; one with a full history is below 8 KiB.
MAX_ALIAS_BYTES = 16 * 1024

# Characters of a user's name that are kept: the environment may say anything. Ours.
MAX_WHO = 64


@dataclass(frozen=True, slots=True)
class MoveAlias:
    """Point an alias at a version.

    Attributes:
        name, alias: Which.
        from_version: Where it points now; None if there is no such alias yet.
        to_version, manifest_sha256: Where it is to point.
        etag: Tag of the pointer to be replaced; None if there is none.
        current: The pointer to be replaced; None if there is none.
    """

    name: str
    alias: str
    from_version: str | None
    to_version: str
    manifest_sha256: str
    etag: str | None
    current: Alias | None = None


@dataclass(frozen=True, slots=True)
class Promotion:
    """How a promotion ended: the alias points where it was asked to.

    Attributes:
        pointer: The alias as it is now; it says who moved it there and when.
        move: The move that was made; None if it pointed there already, or somebody else did the same.
    """

    pointer: Alias
    move: MoveAlias | None


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
    if found and (found[0].version, found[0].manifest_sha256) == (version, sha256):
        return None
    return _move(name, alias, found, version=version, sha256=sha256)


def move_alias(store: Store, move: MoveAlias) -> Promotion:
    """Do a planned move; or find that somebody else has just made the same one.

    Raises:
        FailedError: The alias was moved elsewhere since the plan was made; it says where, when and by whom.
    """
    pointer = _next(move)
    try:
        store.replace(alias_key(move.name, move.alias), encode_alias(pointer), etag=move.etag)
    except StoreConflictError as fault:
        found = read_alias(store, move.name, move.alias)
        if found and (found[0].version, found[0].manifest_sha256) == (move.to_version, move.manifest_sha256):
            # A retry inside the client can lose the race against its own first attempt.
            return Promotion(found[0], move if found[0].token == pointer.token else None)
        won = f"{found[0].version} by {found[0].moved_by} at {found[0].moved_at}" if found else "nothing"
        raise FailedError(
            f"alias {move.alias!r} of {move.name} was moved meanwhile, to {won}",
            advice=f"Version {move.to_version} is published. To point there: "
            f"hotplate promote {move.name} {move.to_version} --alias {move.alias}",
        ) from fault
    return Promotion(pointer, move)


def promote(store: Store, name: str, version: str, alias: str) -> Promotion:
    """Point `alias` at a published version.

    Raises:
        RefusedError: There is no such version.
        ManifestError: What lies there is not the manifest of that version.
        FailedError: Somebody else moved the alias elsewhere meanwhile.
    """
    sha256 = _published_digest(store, name, version)
    found = read_alias(store, name, alias)
    if found and (found[0].version, found[0].manifest_sha256) == (version, sha256):
        return Promotion(found[0], None)
    return move_alias(store, _move(name, alias, found, version=version, sha256=sha256))


def rollback(store: Store, name: str, alias: str) -> MoveAlias:
    """Point `alias` at the version before its last move; return the move. Twice is where it began.

    Raises:
        RefusedError: There is no such alias, no version before, or that version is gone.
        FailedError: Somebody else moved the alias meanwhile.
    """
    found = read_alias(store, name, alias)
    if found is None:
        raise RefusedError(f"{name} has no alias {alias!r}")
    current, _ = found
    if current.previous is None:
        raise RefusedError(
            f"alias {alias!r} of {name} never pointed at another version than {current.version}"
        )
    sha256 = _published_digest(store, name, current.previous)
    move = _move(name, alias, found, version=current.previous, sha256=sha256)
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


def _move(name: str, alias: str, found: tuple[Alias, str] | None, *, version: str, sha256: str) -> MoveAlias:
    if found is None:
        return MoveAlias(name, alias, None, version, sha256, None)
    current, etag = found
    return MoveAlias(name, alias, current.version, version, sha256, etag, current)


def _next(move: MoveAlias) -> Alias:
    now, who, token = datetime.now(UTC).isoformat(timespec="seconds"), _who(), secrets.token_hex(8)
    if move.current is None:
        return Alias(move.to_version, move.manifest_sha256, None, now, who, token=token)
    return move.current.then(
        version=move.to_version,
        manifest_sha256=move.manifest_sha256,
        moved_at=now,
        moved_by=who,
        token=token,
    )


def _who() -> str:
    try:
        return getpass.getuser()[:MAX_WHO]
    except OSError:  # no name for this user id, as in many containers
        return "unknown"
