"""A model in local files, prepared as it would be published, and measured on this machine."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.manifest.layout import measurements_key
from hotplate_tools.convert.converted import ConvertOptions, as_onnx
from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.forms import Candidate
from hotplate_tools.optimise.measure import measure
from hotplate_tools.planning.describe import description_of, operator_types
from hotplate_tools.planning.records import encode_measurements
from hotplate_tools.publish.build import build_manifest
from hotplate_tools.publish.source import read_source

if TYPE_CHECKING:
    from hotplate.store.base import Store
    from hotplate_tools.console import Console
    from hotplate_tools.planning.records import Description, Measurements
    from hotplate_tools.publish.build import Prepared
    from hotplate_tools.publish.pipeline import Published

__all__ = ["local_description", "measure_prepared", "measure_published"]


def local_description(path: Path, *, code_bytes: int, console: Console, measured: bool) -> Description:
    """Return the description of an .onnx file or a source folder.

    Args:
        path: As for publishing.
        code_bytes: Unzipped function and layers.
        console: Told while it works.
        measured: Whether every form is measured here too.

    Raises:
        RefusedError: The source is not fit to be published.
        FailedError: Measuring failed.
    """
    with (
        console.step(f"Checking and optimising {path.name}"),
        _prepared(path, None, None, console) as prepared,
    ):
        for warning in prepared.warnings:
            console.warn(warning)
        return description_of(
            prepared.manifest,
            prepared.served.portable.graph,
            code_bytes=code_bytes,
            measurements=measure_prepared(prepared, console) if measured else None,
        )


def measure_published(
    path: Path, published: Published, *, options: ConvertOptions | None = None, store: Store, console: Console
) -> bool:
    """Measure a version that was just published and put the record beside it, unless one is there.

    Args:
        path: What was published.
        published: As which version.
        options: How it was converted, if it was.
        store: The registry.
        console: Told while it is done.

    Returns:
        Whether a record was written; never of a program, whose needs are its owner's to say.

    Raises:
        FailedError: A measuring process failed; the version is published nevertheless.
        StoreError: The registry cannot be read or written.
    """
    key = measurements_key(published.name, published.version)
    if read_source(path, published.name).is_program:
        return False
    if store.size(key) is not None:
        return False
    with _prepared(path, published.name, options, console) as prepared:
        body = encode_measurements(measure_prepared(prepared, console))
    return store.put_new(key, body, sha256=hashlib.sha256(body).hexdigest())


@contextmanager
def _prepared(
    path: Path, name: str | None, options: ConvertOptions | None, console: Console
) -> Iterator[Prepared]:
    with tempfile.TemporaryDirectory(prefix="hotplate-convert-") as folder:
        source = read_source(path, name)
        if source.is_program:
            raise RefusedError(
                f"{source.name} is a {source.platform} model, and only graphs can be planned and measured",
                advice="Say memory_mb under `plan` in its model.yaml.",
            )
        source = as_onnx(source, options or ConvertOptions(), Path(folder), console)
        yield build_manifest(source, version=None)


def measure_prepared(prepared: Prepared, console: Console) -> Measurements:
    """Return what each form of a prepared version needs on this machine.

    Raises:
        FailedError: A measuring process failed.
    """
    graph = prepared.graph
    source = Candidate("source", graph.body, graph.weights, "all", "on")
    return measure(
        prepared.served, source, graph.inputs, operator_types(prepared.served.portable.graph), console=console
    )
