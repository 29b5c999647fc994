"""A model in local files, prepared as it would be published, and measured on this machine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hotplate.manifest.layout import measurements_key, version_of
from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.forms import Candidate
from hotplate_tools.optimise.measure import measure
from hotplate_tools.planning.describe import description_of, operator_types
from hotplate_tools.planning.records import encode_measurements
from hotplate_tools.publish.build import Prepared
from hotplate_tools.publish.pipeline import prepare
from hotplate_tools.publish.program import PreparedFiles
from hotplate_tools.publish.source import read_source

if TYPE_CHECKING:
    from pathlib import Path

    from hotplate.store.base import Store
    from hotplate_tools.console import Console
    from hotplate_tools.convert.converted import ConvertOptions
    from hotplate_tools.optimise.choice import VariantOptions
    from hotplate_tools.planning.records import Description, Measurements
    from hotplate_tools.publish.source import Source

__all__ = ["local_description", "measure_prepared", "measure_published"]


def local_description(
    path: Path,
    *,
    options: ConvertOptions | None = None,
    variants: VariantOptions | None = None,
    code_bytes: int,
    console: Console,
    measured: bool,
) -> Description:
    """Return the description of a model or a source folder.

    Args:
        path: As for publishing.
        options: How to convert it.
        variants: Smaller variants to consider.
        code_bytes: Unzipped function and layers.
        console: Told while it works.
        measured: Whether every form is measured here too.

    Raises:
        RefusedError: The source is not fit to be published.
        FailedError: Converting or measuring failed.
    """
    _refuse_graphless(read_source(path, None))
    with prepare(path, options=options, variants=variants, console=console) as prepared:
        assert isinstance(prepared, Prepared)  # noqa: S101 - no program
        for warning in prepared.warnings:
            console.warn(warning)
        return description_of(
            prepared.manifest,
            prepared.served.portable.graph,
            code_bytes=code_bytes,
            measurements=measure_prepared(prepared, console) if measured else None,
        )


def measure_published(prepared: Prepared | PreparedFiles, *, store: Store, console: Console) -> bool:
    """Measure a version that was just published and put the record beside it, unless one is there.

    Args:
        prepared: What was published.
        store: The registry.
        console: Told while it is done.

    Returns:
        Whether a record was written; never of a program or a pipeline.

    Raises:
        FailedError: A measuring process failed; the version is published nevertheless.
        StoreError: The registry cannot be read or written.
    """
    key = measurements_key(prepared.manifest.name, version_of(prepared.manifest)[0])
    if isinstance(prepared, PreparedFiles) or store.size(key) is not None:
        return False
    body = encode_measurements(measure_prepared(prepared, console))
    return store.put_new(key, body, sha256=hashlib.sha256(body).hexdigest())


def measure_prepared(prepared: Prepared, console: Console) -> Measurements:
    """Return what each form of a prepared version needs on this machine.

    Raises:
        FailedError: A measuring process failed.
    """
    graph = prepared.graph
    source = Candidate("source", graph.body, graph.weights, "all", "on")
    return measure(
        prepared.served,
        source,
        graph.inputs,
        operator_types(prepared.served.portable.graph),
        others=prepared.choice.others if prepared.choice else (),
        console=console,
    )


def _refuse_graphless(source: Source) -> None:
    if source.is_program or source.is_pipeline:
        raise RefusedError(
            f"{source.name} is a {source.platform} model, and only graphs can be planned and measured",
            advice="Say memory_mb under `plan` in its model.yaml.",
        )
