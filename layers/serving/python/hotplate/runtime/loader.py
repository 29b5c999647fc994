"""The cold start: from a pinned digest to a session that has run.

The order is the security property, and each step only sees what the one before has proved:

1. settings name the version and pin its manifest's SHA-256;
2. the manifest's bytes are read, capped in length, and hashed: another digest ends here;
3. one of the keys that the settings trust must have signed that digest;
4. only then they are parsed, strictly, and must be of the model and version the settings name;
5. each file is read, capped at the length the manifest states, hashed while it streams in, and
   compared; only assets and the graph and weights for this processor are read at all;
6. only then ONNX Runtime sees the graph, and warm-up runs it.

Steps 2 to 5 are `hotplate.runtime.fetched`, in a child process beside the imports where that can be had.
The same order is tested by breaking each link (`tests/integration/runtime/test_loader.py`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hotplate.runtime.fetched import fetch_here
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.model import Model, Transforms
from hotplate.runtime.session import Session
from hotplate.runtime.staged import StagedSession
from hotplate.runtime.warmup import warm_up

if TYPE_CHECKING:
    from hotplate.runtime.fetched import Fetched
    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["build_model", "load_model"]


def load_model(settings: Settings, reader: Reader, transforms: Transforms | None = None) -> Model:
    """Return the model that the settings pin, fetched by this process and warmed up.

    Args:
        settings: What to serve and how much memory there is.
        reader: Where the registry lies.
        transforms: The function's own steps around the graph, or None.

    Raises:
        StoreError: Bytes could not be had.
        ArtifactError: Bytes are not those published, or not a model. Nothing was computed from them.
    """
    ledger = Ledger()
    return build_model(fetch_here(settings, reader, ledger), settings, ledger, transforms)


def build_model(
    fetched: Fetched, settings: Settings, ledger: Ledger, transforms: Transforms | None = None
) -> Model:
    """Return the model made of verified bytes, warmed up.

    Raises:
        GraphError: ONNX Runtime does not load it.
    """
    plan = fetched.manifest.plan
    with ledger.phase("session"):
        session = _session(fetched, plan.intra_op_threads or settings.vcpus, on_demand=settings.is_on_demand)
    model = Model(fetched.manifest, settings.version, session, transforms, ledger)
    with ledger.phase("warmup"):
        warm_up(session, ledger)
    return model


def _session(fetched: Fetched, threads: int, *, on_demand: bool) -> Session | StagedSession:
    (graph,) = fetched.of_role(fetched.form.graph).values()
    build = partial(
        Session,
        bytes(graph),
        weights=fetched.of_role(fetched.form.weights),
        threads=threads,
        level=fetched.form.level,
    )
    prepacking = fetched.manifest.plan.prepacking
    # Where nobody waits for init to end, there is nothing to put off.
    if prepacking == "later" and on_demand:
        return StagedSession(build(prepacking="off"), lambda: build(prepacking="parallel"))
    return build(prepacking=prepacking)
