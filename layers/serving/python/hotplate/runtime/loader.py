"""The cold start: from a pinned digest to a session.

The order is the security property, and each step only sees what the one before has proved:

1. settings name the version and pin its manifest's SHA-256;
2. the manifest's bytes are read, capped in length, and hashed: another digest ends here;
3. one of the keys that the settings trust must have signed that digest;
4. only then they are parsed, strictly, and must be of the model and version the settings name;
5. each file is read, capped at the length the manifest states, hashed while it streams in, and
   compared; only assets and the graph and weights for this processor are read at all;
6. only then the function parses its assets, ONNX Runtime sees the graph, and, where nobody waits yet,
   warm-up runs it. A session that only borrows its weights is built while those are on their way, and not
   run before they are verified.

Steps 2 to 5 are `hotplate.runtime.fetched`, in a child process beside the imports where that can be had.
The same order is tested by breaking each link (`tests/integration/runtime/test_loader.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate.errors import ManifestError
from hotplate.runtime.fetched import fetch_here
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.model import Model, TransformedGraph
from hotplate.runtime.session import CPU, Session
from hotplate.runtime.staged import StagedSession
from hotplate.runtime.warmup import warm_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.manifest.schema import Prepacking
    from hotplate.runtime.fetched import Fetched
    from hotplate.runtime.transforms import MakeTransforms, Transforms
    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["build_model", "load_model"]


def load_model(
    settings: Settings, reader: Reader, transforms: Transforms | MakeTransforms | None = None
) -> Model:
    """Return the model that the settings pin, fetched by this process.

    Args:
        settings: What to serve and how much memory there is.
        reader: Where the registry lies.
        transforms: As of `build_model`.

    Raises:
        StoreError: Bytes could not be had.
        ArtifactError: Bytes are not those published, or not a model. Nothing was computed from them.
    """
    ledger = Ledger()
    return build_model(fetch_here(settings, reader, ledger), settings, ledger, transforms)


def build_model(
    fetched: Fetched,
    settings: Settings,
    ledger: Ledger,
    transforms: Transforms | MakeTransforms | None = None,
    providers: Sequence[str] = (CPU,),
    *,
    warms_up: bool = True,
) -> Model:
    """Return the model made of verified bytes; warmed up where nobody waits for init to end.

    Args:
        fetched: The version.
        settings: What to serve and how much memory there is.
        ledger: Gets the phases.
        transforms: The function's own steps around the graph, or what makes them of the version's
            assets; None serves the graph's tensors.
        warms_up: Whether the graph is run on zeros here; a caller who knows better inputs does it himself.
        providers: Where the graph may run, the best first; of more than one the ledger is told which.

    Raises:
        ManifestError: It is no graph, or its assets are not what the function needs.
        GraphError: ONNX Runtime does not load it.
    """
    manifest = fetched.manifest
    if not manifest.has_graph:
        raise ManifestError(
            f"{settings.model} {settings.version} is of platform {manifest.platform!r}, not a graph"
        )
    if callable(transforms):
        with ledger.phase("assets"):
            transforms = _made(transforms, fetched)
    session = _session(fetched, settings, ledger, providers)
    if len(providers) > 1:
        ledger.note(f"of {', '.join(providers)} the graph has {', '.join(session.providers)}")
    model = Model(manifest, settings.version, TransformedGraph(session, transforms), ledger)
    if warms_up and not settings.is_on_demand:  # else the caller who waits would wait for two first runs
        with ledger.phase("warmup"):
            warm_up(session, ledger)
    return model


def _session(
    fetched: Fetched, settings: Settings, ledger: Ledger, providers: Sequence[str]
) -> Session | StagedSession:
    plan, form = fetched.manifest.plan, fetched.form
    (graph,) = fetched.of_role(form.graph).values()

    def build(prepacking: Prepacking, *, unread: bool = False) -> Session:
        return Session(
            bytes(graph),
            weights=fetched.of_role(form.weights, unread=unread),
            threads=plan.intra_op_threads or settings.threads,
            prepacking=prepacking,
            level=form.level,
            arena=plan.arena,
            providers=providers,
        )

    def first(prepacking: Prepacking) -> Session:
        # Nothing reads the weights then but a run. What rearranges or folds them does, and a GPU's provider.
        unread = prepacking == "off" and form.level == "none" and tuple(providers) == (CPU,)
        if not unread:
            fetched.complete()
        with ledger.phase("session"):
            session = build(prepacking, unread=unread)
        if not fetched.is_unread:
            # ONNX Runtime copies what is small or lies askew; what it copied was not there.
            ledger.note("built again: the session reads weights while it is built")
            fetched.complete()
            with ledger.phase("session"):
                session = build(prepacking)
        fetched.complete()
        return session

    if plan.prepacking != "later":
        return first(plan.prepacking)
    if settings.processes > 1:
        # Rearranged weights are each process's own, so many would be many copies of a large model.
        ledger.note(f"weights are not rearranged: {settings.processes} processes share them as they are")
        return first("off")
    # Where nobody waits for init to end, there is nothing to put off.
    if settings.is_on_demand:
        return StagedSession(first("off"), lambda: build("parallel"))
    return first("parallel")


def _made(make: MakeTransforms, fetched: Fetched) -> Transforms:
    assets = {path: bytes(body) for path, body in fetched.of_role("asset").items()}
    try:
        return make(assets)
    except (LookupError, ValueError) as fault:
        raise ManifestError(
            f"the assets of {fetched.manifest.name!r} ({', '.join(sorted(assets)) or 'none'}) are not what "
            f"its function needs: {type(fault).__name__}: {fault}"
        ) from fault
