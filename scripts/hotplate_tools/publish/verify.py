"""Does a registry still hold what was published? Reads everything, believes nothing, writes nothing.

For each version: the manifest is canonical and of that name and version, a trusted key signed it,
aliases pin it, every file is there with its length and digest. All faults are found, not only the
first. One file at a time is held in memory.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.errors import ArtifactError, ManifestError, StoreNotFoundError
from hotplate.limits import MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES
from hotplate.manifest.ed25519 import SodiumVerifier
from hotplate.manifest.layout import blob_key, manifest_key, signature_key, version_of
from hotplate.manifest.schema import decode
from hotplate.manifest.signature import verify
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.registry import list_models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.manifest.layout import Alias
    from hotplate.manifest.schema import FileEntry, Manifest
    from hotplate.store.base import Store

__all__ = ["Verified", "refuse_faults", "verify_model"]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found for one version.

    Attributes:
        name, version: Which.
        key_id: Of the key that signed it; None if no signature was asked for or it is at fault.
        files, size: How many files are right, and their bytes together.
        faults: What is wrong, one sentence each; none means whole.
    """

    name: str
    version: str
    key_id: str | None
    files: int
    size: int
    faults: tuple[str, ...]


def verify_model(
    store: Store, name: str, version: str | None, *, trusted: Sequence[bytes]
) -> tuple[Verified, ...]:
    """Verify one version of a model, or all of them and every alias.

    Args:
        store: The registry.
        name: Of the model.
        version: None for all.
        trusted: Raw public keys; none means that no signature is asked for.

    Raises:
        RefusedError: There is no such model.
        StoreError: The registry cannot be read.
    """
    found = next((model for model in list_models(store) if model.name == name), None)
    if found is None:
        raise RefusedError(f"there is no model {name}", advice="`hotplate models` lists what there is.")
    # An alias may point at a version that is gone.
    every = dict.fromkeys([*found.versions, *(pointer.version for pointer in found.aliases.values())])
    wanted = every if version is None else (version,)
    return tuple(_verify(store, name, each, trusted, found.aliases) for each in wanted)


def refuse_faults(found: Sequence[Verified]) -> None:
    """Raise if anything is at fault.

    Raises:
        RefusedError: Saying of how many versions.
    """
    broken = [each.version for each in found if each.faults]
    if broken:
        raise RefusedError(
            f"{len(broken)} of {len(found)} versions of {found[0].name} are not what was published: "
            f"{', '.join(broken)}",
            advice="Functions refuse them too. Publish again what is missing; delete what is altered first.",
        )


def _verify(
    store: Store, name: str, version: str, trusted: Sequence[bytes], aliases: Mapping[str, Alias]
) -> Verified:
    faults: list[str] = []
    try:
        raw = store.get(manifest_key(name, version), max_bytes=MAX_MANIFEST_BYTES).body
    except (StoreNotFoundError, ArtifactError) as fault:
        return Verified(name, version, None, 0, 0, (f"no manifest: {fault}",))
    digest = hashlib.sha256(raw).hexdigest()
    faults += [
        f"alias {alias!r} pins SHA-256 {pointer.manifest_sha256[:12]}…, the manifest has {digest[:12]}…"
        for alias, pointer in aliases.items()
        if pointer.version == version and pointer.manifest_sha256 != digest
    ]
    key_id = _signed_by(store, name, version, digest, trusted, faults) if trusted else None
    manifest = _manifest(raw, name, version, faults)
    whole = [entry for entry in (manifest.files if manifest else ()) if _is_whole(store, entry, faults)]
    return Verified(name, version, key_id, len(whole), sum(entry.size for entry in whole), tuple(faults))


def _signed_by(
    store: Store, name: str, version: str, digest: str, trusted: Sequence[bytes], faults: list[str]
) -> str | None:
    try:
        raw = store.get(signature_key(name, version), max_bytes=MAX_SIGNATURE_BYTES).body
        return verify(raw, digest, trusted=trusted, verifier=SodiumVerifier())
    except StoreNotFoundError:
        faults.append("unsigned")
    except ArtifactError as fault:
        faults.append(str(fault))
    return None


def _manifest(raw: bytes, name: str, version: str, faults: list[str]) -> Manifest | None:
    try:
        manifest = decode(raw)
    except ManifestError as fault:
        faults.append(str(fault))
        return None
    label = version_of(manifest)[0]
    if (manifest.name, label) != (name, version):
        faults.append(f"the manifest is of {manifest.name} {label}")
    return manifest


def _is_whole(store: Store, entry: FileEntry, faults: list[str]) -> bool:
    try:
        body = store.get(blob_key(entry.sha256), max_bytes=entry.size).body
    except (StoreNotFoundError, ArtifactError) as fault:
        faults.append(f"{entry.path}: {fault}")
        return False
    digest = hashlib.sha256(body).hexdigest()
    if (len(body), digest) == (entry.size, entry.sha256):
        return True
    faults.append(
        f"{entry.path}: {len(body)} bytes with SHA-256 {digest[:12]}…, "
        f"{entry.size} with {entry.sha256[:12]}… were published"
    )
    return False
