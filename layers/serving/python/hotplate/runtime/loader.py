"""The cold start: from a pinned digest to a session that has run.

The order is the security property, and each step only sees what the one before has proved:

1. settings name the version and pin its manifest's SHA-256;
2. the manifest's bytes are read, capped in length, and hashed: another digest ends here;
3. one of the keys that the settings trust must have signed that digest;
4. only then they are parsed, strictly, and must be of the model and version the settings name;
5. each file is read, capped at the length the manifest states, hashed while it streams in, and
   compared; only assets and the graph and weights for this processor are read at all;
6. only then the function parses its assets, ONNX Runtime sees the graph, and warm-up runs it.

The same order is tested by breaking each link (`tests/integration/runtime/test_loader.py`).
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hotplate.errors import (
    DigestMismatchError,
    ManifestError,
    SignatureError,
    StoreDeniedError,
    StoreNotFoundError,
)
from hotplate.limits import MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES
from hotplate.manifest.layout import manifest_key, signature_key, version_of
from hotplate.manifest.schema import Manifest, decode
from hotplate.manifest.signature import verify
from hotplate.runtime.files import Cache, fetch_file
from hotplate.runtime.forms import choose_form
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.model import Model
from hotplate.runtime.session import Session
from hotplate.runtime.warmup import warm_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.runtime.transforms import MakeTransforms, Transforms
    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["load_model"]


def load_model(
    settings: Settings, reader: Reader, transforms: Transforms | MakeTransforms | None = None
) -> Model:
    """Return the model that the settings pin, warmed up.

    Args:
        settings: What to serve and how much memory there is.
        reader: Where the registry lies.
        transforms: The function's own steps around the graph, or what makes them of the version's
            assets; None serves the graph's tensors.

    Raises:
        StoreError: Bytes could not be had.
        ArtifactError: Bytes are not those published, or not a model. Nothing was computed from them.
    """
    ledger = Ledger()
    with ledger.phase("manifest"):
        manifest = _manifest(settings, reader, ledger)
    cache = Cache(settings.cache_dir, ledger)
    with ledger.phase("fetch"):
        form = choose_form(manifest, ledger)
        files = {
            entry.path: (entry.role, fetch_file(reader, entry, cache))
            for entry in manifest.files
            if entry.role in form.roles
        }
    if callable(transforms):
        with ledger.phase("assets"):
            transforms = _made(transforms, manifest, files)
    with ledger.phase("session"):
        session = Session(
            next(bytes(body) for role, body in files.values() if role == form.graph),
            weights={path: body for path, (role, body) in files.items() if role == form.weights},
            threads=manifest.plan.intra_op_threads or settings.vcpus,
            prepacking=manifest.plan.prepacking,
            level=form.level,
        )
    model = Model(manifest, settings.version, session, transforms, ledger)
    with ledger.phase("warmup"):
        warm_up(session, ledger)
    return model


def _manifest(settings: Settings, reader: Reader, ledger: Ledger) -> Manifest:
    if settings.signing_keys:
        # Beside the manifest, because it is a second round trip; the pinned digest is all it needs.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="signature") as pool:
            signed = pool.submit(_check_signature, settings, reader)
            raw = _pinned_bytes(settings, reader)
            signed.result()
    else:
        ledger.note("no signature was verified: HOTPLATE_UNSIGNED allows that")
        raw = _pinned_bytes(settings, reader)
    manifest = decode(raw)
    if (manifest.name, version_of(manifest)[0]) != (settings.model, settings.version):
        raise ManifestError(
            f"the manifest is of {manifest.name} {version_of(manifest)[0]}, "
            f"the function serves {settings.model} {settings.version}"
        )
    return manifest


def _made(
    make: MakeTransforms, manifest: Manifest, files: Mapping[str, tuple[str, memoryview]]
) -> Transforms:
    assets = {path: bytes(body) for path, (role, body) in files.items() if role == "asset"}
    try:
        return make(assets)
    except (LookupError, ValueError) as fault:
        raise ManifestError(
            f"the assets of {manifest.name!r} ({', '.join(sorted(assets)) or 'none'}) are not what its "
            f"function needs: {type(fault).__name__}: {fault}"
        ) from fault


def _pinned_bytes(settings: Settings, reader: Reader) -> bytes:
    raw = reader.read_small(manifest_key(settings.model, settings.version), max_bytes=MAX_MANIFEST_BYTES)
    digest = hashlib.sha256(raw).hexdigest()
    if digest != settings.manifest_sha256:
        raise DigestMismatchError(
            f"manifest of {settings.model} {settings.version}: SHA-256 {digest[:12]}…, "
            f"the function pins {settings.manifest_sha256[:12]}…"
        )
    return raw


def _check_signature(settings: Settings, reader: Reader) -> None:
    key = signature_key(settings.model, settings.version)
    try:
        raw = reader.read_small(key, max_bytes=MAX_SIGNATURE_BYTES)
    # S3 denies what is not there to those who may not list the bucket, as functions may not.
    except (StoreNotFoundError, StoreDeniedError) as fault:
        raise SignatureError(
            f"{settings.model} {settings.version} has no signature that can be read, "
            f"and only signed versions are trusted here: {fault}"
        ) from fault
    from hotplate.manifest.ed25519 import SodiumVerifier  # costs milliseconds, so only who needs it pays

    verify(raw, settings.manifest_sha256, trusted=settings.signing_keys, verifier=SodiumVerifier())
