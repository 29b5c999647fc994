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

from typing import TYPE_CHECKING

from hotplate.errors import ManifestError
from hotplate.runtime.files import Cache, fetch_file
from hotplate.runtime.forms import choose_form
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.model import Model, TransformedGraph
from hotplate.runtime.pinned import pinned_manifest
from hotplate.runtime.session import Session
from hotplate.runtime.warmup import warm_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.manifest.schema import Manifest
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
        manifest = pinned_manifest(settings, reader, ledger)
        if manifest.is_program:
            raise ManifestError(
                f"{settings.model} {settings.version} is of platform {manifest.platform!r}, not a graph"
            )
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
    model = Model(manifest, settings.version, TransformedGraph(session, transforms), ledger)
    with ledger.phase("warmup"):
        warm_up(session, ledger)
    return model


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
