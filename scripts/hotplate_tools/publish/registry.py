"""Which registry a command works on, and what it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.aws.clients import s3_client
from hotplate.aws.s3_store import S3Store
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.publish.aliases import read_alias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hotplate.manifest.layout import Alias
    from hotplate.store.base import Store

__all__ = ["ModelListing", "list_models", "open_store", "version_keys"]

_VERSION_KEY = re.compile(r"^models/([^/]+)/versions/([^/]+)/manifest\.json$")
_ALIAS_KEY = re.compile(r"^models/([^/]+)/aliases/([^/]+)\.json$")


@dataclass(frozen=True, slots=True)
class ModelListing:
    """One model of a registry; versions sorted by name, aliases by theirs."""

    name: str
    versions: tuple[str, ...]
    aliases: dict[str, Alias]


def open_store(*, bucket: str | None, folder: Path | None, region: str | None) -> Store:
    """Return the registry in `folder` if one is given, else the one in `bucket`.

    Raises:
        SettingsError: S3 is meant, but the configured AWS profile is not there.
    """
    if folder is not None:
        return FilesystemStore(folder)
    return S3Store(s3_client(region=region), bucket or "")


def list_models(store: Store) -> tuple[ModelListing, ...]:
    """Return every model that has a version or an alias, sorted by name."""
    versions: dict[str, list[str]] = {}
    aliases: dict[str, dict[str, Alias]] = {}
    for key in store.keys("models/"):
        if match := _VERSION_KEY.match(key):
            versions.setdefault(match[1], []).append(match[2])
        elif (match := _ALIAS_KEY.match(key)) and (found := read_alias(store, match[1], match[2])):
            aliases.setdefault(match[1], {})[match[2]] = found[0]
    return tuple(
        ModelListing(name, tuple(versions.get(name, ())), aliases.get(name, {}))
        for name in sorted(versions.keys() | aliases.keys())
    )


def version_keys(store: Store) -> Iterator[str]:
    """Yield the key of every version's manifest, of all models."""
    return (key for key in store.keys("models/") if _VERSION_KEY.match(key))
