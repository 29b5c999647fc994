"""Is everything that a reader can reach in a registry there, and the right bytes?"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from hotplate.manifest.layout import alias_key, blob_key, decode_alias, manifest_key, version_of
from hotplate.manifest.schema import Manifest, decode

if TYPE_CHECKING:
    from hotplate.store.base import Store

_ALIAS = re.compile(r"models/([^/]+)/aliases/([^/]+)\.json")
_MANIFEST = re.compile(r"models/([^/]+)/versions/([^/]+)/manifest\.json")


def assert_whole(store: Store, verified: set[str] | None = None) -> None:
    """Check every alias, every version and every file: digest by digest, as a function would.

    Digests in `verified` are not read again; those read here are added to it.
    """
    verified = set() if verified is None else verified
    for key in store.keys("models/"):
        if match := _ALIAS.fullmatch(key):
            pointer = decode_alias(store.get(alias_key(match[1], match[2]), max_bytes=2**20).body)
            raw = store.get(manifest_key(match[1], pointer.version), max_bytes=2**20).body
            assert hashlib.sha256(raw).hexdigest() == pointer.manifest_sha256
        elif match := _MANIFEST.fullmatch(key):
            manifest = decode(store.get(key, max_bytes=2**20).body)
            assert (manifest.name, version_of(manifest)[0]) == (match[1], match[2])
            _assert_files(store, manifest, verified)


def _assert_files(store: Store, manifest: Manifest, verified: set[str]) -> None:
    for entry in manifest.files:
        if entry.sha256 in verified:
            continue
        body = store.get(blob_key(entry.sha256), max_bytes=entry.size).body
        assert (len(body), hashlib.sha256(body).hexdigest()) == (entry.size, entry.sha256)
        verified.add(entry.sha256)
