"""Publishing as one call: source, graph, golden rows, manifest, plan, execute.

`prepare` is the pure half: local files in, a version out, no store; `describe` says what came out.
`publish_prepared` puts it into a store, and `publish_model` does both. All give the same version and
digest for the same input, so a deployment can be described before its bucket exists.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.manifest.layout import version_of
from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions, as_onnx
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.build import build_manifest
from hotplate_tools.publish.execute import execute
from hotplate_tools.publish.fallback import check_fallback, live_in
from hotplate_tools.publish.members import RegistryMembers
from hotplate_tools.publish.plan import plan_publication
from hotplate_tools.publish.program import build_program
from hotplate_tools.publish.revision import revision_of
from hotplate_tools.publish.source import read_source
from hotplate_tools.publish.steps import build_pipeline

if TYPE_CHECKING:
    from hotplate.manifest.schema import Manifest
    from hotplate.manifest.signature import Signer
    from hotplate.store.base import Store
    from hotplate_tools.optimise.choice import Choice, VariantOptions
    from hotplate_tools.publish.build import LocalFile, Prepared
    from hotplate_tools.publish.members import Members
    from hotplate_tools.publish.plan import Actions
    from hotplate_tools.publish.program import PreparedFiles
    from hotplate_tools.publish.source import Source

__all__ = ["Described", "Published", "describe", "prepare", "publish_model", "publish_prepared"]

_UNSIGNED = "Not signed: functions that trust signing keys will refuse this version. Sign with --sign."


@dataclass(frozen=True, slots=True)
class Described:
    """A version as it would be published.

    Attributes:
        manifest: What the version is.
        version, manifest_sha256: What a deployment pins.
        files: The bytes of every file of the manifest, in the manifest's order.
        warnings: What the publisher should know, one sentence each.
        choice: Variants that were considered, if any were asked for.
    """

    manifest: Manifest
    version: str
    manifest_sha256: str
    files: tuple[LocalFile, ...]
    warnings: tuple[str, ...]
    choice: Choice | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A version as it lies in the registry now (or would lie, after a dry run).

    Attributes:
        name, version, manifest_sha256: What a deployment pins.
        wrote: Whether this run changed anything in the registry.
        actions: What was planned; all of it was done unless `dry_run`.
        dry_run: Whether nothing was to be written.
        fallback: Who stands in for it.
        choice: Variants that were considered, if any were asked for.
    """

    name: str
    version: str
    manifest_sha256: str
    wrote: bool
    actions: Actions
    dry_run: bool
    fallback: str | None = None
    choice: Choice | None = None


@contextmanager
def prepare(
    path: Path,
    name: str | None = None,
    *,
    version: str | None = None,
    options: ConvertOptions | None = None,
    variants: VariantOptions | None = None,
    record_revision: bool = False,
    members: Members | None = None,
    console: Console | None = None,
) -> Iterator[Prepared | PreparedFiles]:
    """Yield `path` as the version that it is, converted, checked and optimised; needs no store.

    Args:
        path: A folder with `model.yaml`, or a model of a kind in `convert.kinds`.
        name: Model name; None takes the one in `model.yaml`, or the file's.
        version: SemVer to publish under; None names the version after its digest.
        options: How to convert what is not ONNX; its `rows` are those of variants too.
        variants: Smaller variants to consider.
        record_revision: Whether the source's git revision becomes part of the version.
        members: Where a pipeline's members are; None for what is no pipeline.
        console: Told while it is converted.

    Raises:
        RefusedError: The source is unsafe, contradicts itself, or gives other answers than its golden
            rows or its framework.
        FailedError: The framework of the source cannot be installed, or failed.
    """
    source = read_source(path, name)
    options = options or ConvertOptions()
    if record_revision:
        source = replace(source, revision=revision_of(source, source_path=options.source_path))
    with tempfile.TemporaryDirectory(prefix="hotplate-convert-") as folder:
        told = console or Console()
        if source.is_program:
            _refuse_variants(source, variants)
            yield build_program(source, options, Path(folder), told, version=version)
            return
        if source.is_pipeline:
            _refuse_variants(source, variants)
            with told.step(f"Checking {path.name} and replaying its golden rows"):
                pipeline = build_pipeline(source, options, members, version=version)
            yield pipeline
            return
        source = as_onnx(source, options, Path(folder), told)
        with console.step(f"Checking and optimising {path.name}") if console else nullcontext():
            prepared = build_manifest(
                source, version=version, variants=variants, rows=options.rows, console=console
            )
        yield prepared


def describe(
    path: Path,
    name: str | None = None,
    *,
    version: str | None = None,
    options: ConvertOptions | None = None,
    variants: VariantOptions | None = None,
    record_revision: bool = False,
    members: Members | None = None,
    console: Console | None = None,
) -> Described:
    """Return what `path` would be published as; arguments and errors are those of `prepare`."""
    with prepare(
        path,
        name,
        version=version,
        options=options,
        variants=variants,
        record_revision=record_revision,
        members=members,
        console=console,
    ) as prepared:
        label, digest = version_of(prepared.manifest)
        return Described(prepared.manifest, label, digest, prepared.files, prepared.warnings, prepared.choice)


def publish_model(
    path: Path,
    *,
    name: str | None = None,
    store: Store,
    alias: str | None = "live",
    version: str | None = None,
    options: ConvertOptions | None = None,
    dry_run: bool = False,
    signer: Signer | None = None,
    console: Console,
) -> Published:
    """Publish `path` and point `alias` at it; doing so again changes nothing.

    Arguments and errors are those of `prepare` and `publish_prepared`.
    """
    members = RegistryMembers(store)
    with prepare(path, name, version=version, options=options, members=members, console=console) as prepared:
        return publish_prepared(
            prepared, store=store, alias=alias, dry_run=dry_run, signer=signer, console=console
        )


def publish_prepared(
    prepared: Prepared | PreparedFiles | Described,
    *,
    store: Store,
    alias: str | None = "live",
    dry_run: bool = False,
    signer: Signer | None = None,
    console: Console,
) -> Published:
    """Publish what was prepared and point `alias` at it; doing so again changes nothing.

    Args:
        prepared: The version.
        store: The registry.
        alias: Moved to the new version at the end; None moves none.
        dry_run: Plan only; nothing is written.
        signer: Signs the manifest; None publishes a version that only functions in development serve.
        console: Told while it is done.

    Raises:
        RefusedError: The version is taken by other bytes, or signed by another key; or its fallback cannot
            stand in for it.
        FailedError: Somebody else moved the alias meanwhile; the version itself is published.
        StoreError: The registry cannot be read or written. Run again: what was done is kept.
    """
    label, digest = version_of(prepared.manifest)
    check_fallback(prepared.manifest, live_in(store))
    for warning in prepared.warnings:
        console.warn(warning)
    if signer is None:
        console.warn(_UNSIGNED)
    actions = plan_publication(prepared.manifest, prepared.files, store=store, alias=alias, signer=signer)
    if not dry_run:
        execute(actions, store=store, console=console)
    return Published(
        name=prepared.manifest.name,
        version=label,
        manifest_sha256=digest,
        wrote=bool(actions.pending) and not dry_run,
        actions=actions,
        fallback=prepared.manifest.plan.fallback,
        dry_run=dry_run,
        choice=prepared.choice,
    )


def _refuse_variants(source: Source, variants: VariantOptions | None) -> None:
    if variants:
        raise RefusedError(f"{source.name} is a {source.platform} model, and only graphs have variants")
