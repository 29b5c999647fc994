"""A version as a plain folder, for whoever wants the model without hotplate.

What is written: every file of the version under its path, `manifest.json`, `manifest.sig` where there
is one; all verified first. The folder appears whole or not at all.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.errors import ArtifactError, StoreNotFoundError
from hotplate.limits import MAX_SIGNATURE_BYTES
from hotplate.manifest.ed25519 import SodiumVerifier
from hotplate.manifest.layout import signature_key
from hotplate.manifest.signature import verify
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.publish.find import find_version, read_file
from hotplate_tools.publish.openssf import BUNDLE, sign_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.store.base import Store
    from hotplate_tools.console import Console
    from hotplate_tools.publish.find import Found
    from hotplate_tools.publish.openssf import EllipticKey

__all__ = ["Exported", "export_version"]

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"


@dataclass(frozen=True, slots=True)
class Exported:
    """A version as it lies in a folder now.

    Attributes:
        name, version, manifest_sha256, folder: As said.
        files: Paths inside of the folder, sorted.
        signed_by: Id of the key whose signature of the manifest was verified; None if none was asked for.
    """

    name: str
    version: str
    manifest_sha256: str
    folder: Path
    files: tuple[str, ...]
    signed_by: str | None


def export_version(
    store: Store,
    name: str,
    version: str | None,
    folder: Path,
    *,
    trusted: Sequence[bytes],
    alias: str = "live",
    openssf: EllipticKey | None = None,
    console: Console,
) -> Exported:
    """Write one version to `folder`.

    Args:
        store: The registry.
        name: Of the model.
        version: None takes the one that `alias` points at.
        folder: Made; may be there already if it is empty.
        trusted: Raw public keys, one of which must have signed the manifest; none: not asked for.
        alias: See `version`.
        openssf: Signs the folder in OpenSSF's format too.
        console: Told while it is done.

    Raises:
        RefusedError: There is no such version, it is not what was published or not signed by a trusted
            key, or something is in the folder. Nothing was written.
        FailedError: The folder cannot be written, or the signing tool failed.
        StoreError: The registry cannot be read.
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RefusedError(f"{folder} is there already, and is not an empty folder")
    found = _trustworthy(store, name, version, alias)
    signature, key_id = _signature(store, found, trusted)
    _refuse_taken_names(found)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            whole = Path(beside) / folder.name
            whole.mkdir()
            (whole / MANIFEST).write_bytes(found.raw)
            if signature:
                (whole / SIGNATURE).write_bytes(signature)
            with console.step(f"Reading {found.name} {found.version}"):
                _write_files(store, found, whole)
            if openssf:
                sign_folder(whole, openssf, console)
            whole.replace(folder)
    except OSError as fault:
        raise FailedError(f"{folder} cannot be written: {fault}") from fault
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return Exported(found.name, found.version, found.sha256, folder, tuple(files), key_id)


def _trustworthy(store: Store, name: str, version: str | None, alias: str) -> Found:
    try:
        return find_version(store, name, version, alias=alias)
    except ArtifactError as fault:
        raise RefusedError(str(fault)) from fault


def _signature(store: Store, found: Found, trusted: Sequence[bytes]) -> tuple[bytes, str | None]:
    """Return the signature, empty if there is none, and the id of the trusted key that made it."""
    try:
        raw = store.get(signature_key(found.name, found.version), max_bytes=MAX_SIGNATURE_BYTES).body
        if trusted:
            return raw, verify(raw, found.sha256, trusted=trusted, verifier=SodiumVerifier())
    except StoreNotFoundError as fault:
        if trusted:
            raise RefusedError(f"{found.name} {found.version} is unsigned") from fault
        return b"", None
    except ArtifactError as fault:
        raise RefusedError(f"{found.name} {found.version}: {fault}") from fault
    return raw, None


def _refuse_taken_names(found: Found) -> None:
    for entry in found.manifest.files:
        if entry.path in (MANIFEST, SIGNATURE, BUNDLE):
            raise RefusedError(f"a file of {found.name} is itself called {entry.path}")


def _write_files(store: Store, found: Found, folder: Path) -> None:
    for entry in found.manifest.files:
        target = folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.write_bytes(read_file(store, entry))
        except (ArtifactError, StoreNotFoundError) as fault:
            raise RefusedError(
                f"{found.name} {found.version} is not what was published: {fault}",
                advice="`hotplate verify` names every fault.",
            ) from fault
