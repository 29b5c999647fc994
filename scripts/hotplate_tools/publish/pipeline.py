"""Publishing as one call: source, graph, golden rows, manifest, plan, execute.

`describe` is the pure half: local files in, a manifest out, no store. `publish_model` is the whole.
Both give the same version and digest for the same input, so a deployment can be described before
its bucket exists.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.manifest.layout import version_of
from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions, as_onnx
from hotplate_tools.publish.build import build_manifest
from hotplate_tools.publish.execute import execute
from hotplate_tools.publish.plan import plan_publication
from hotplate_tools.publish.program import build_program
from hotplate_tools.publish.source import read_source

if TYPE_CHECKING:
    from hotplate.manifest.schema import Manifest
    from hotplate.manifest.signature import Signer
    from hotplate.store.base import Store
    from hotplate_tools.publish.build import LocalFile, Prepared
    from hotplate_tools.publish.plan import Actions
    from hotplate_tools.publish.program import PreparedProgram

__all__ = ["Described", "Published", "describe", "publish_model"]

_UNSIGNED = "Not signed: functions that trust signing keys will refuse this version. Sign with --sign."


@dataclass(frozen=True, slots=True)
class Described:
    """A version as it would be published.

    Attributes:
        manifest: What the version is.
        version, manifest_sha256: What a deployment pins.
        files: The bytes of every file of the manifest, in the manifest's order.
        warnings: What the publisher should know, one sentence each.
    """

    manifest: Manifest
    version: str
    manifest_sha256: str
    files: tuple[LocalFile, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """A version as it lies in the registry now (or would lie, after a dry run).

    Attributes:
        name, version, manifest_sha256: What a deployment pins.
        wrote: Whether this run changed anything in the registry.
        actions: What was planned; all of it was done unless `dry_run`.
        dry_run: Whether nothing was to be written.
    """

    name: str
    version: str
    manifest_sha256: str
    wrote: bool
    actions: Actions
    dry_run: bool


def describe(
    path: Path,
    name: str | None = None,
    *,
    version: str | None = None,
    options: ConvertOptions | None = None,
    console: Console | None = None,
) -> Described:
    """Return what `path` would be published as; needs no store.

    Args:
        path: A folder with `model.yaml`, or a model of a kind in `convert.kinds`.
        name: Model name; None takes the one in `model.yaml`, or the file's.
        version: SemVer to publish under; None names the version after its digest.
        options: How to convert what is not ONNX.
        console: Told while it is converted.

    Raises:
        RefusedError: The source is unsafe, contradicts itself, or gives other answers than its golden
            rows or its framework.
        FailedError: The framework of the source cannot be installed, or failed.
    """
    source = read_source(path, name)
    # The graph's bytes are in memory once the manifest is built; the folder only holds them till then.
    with tempfile.TemporaryDirectory(prefix="hotplate-convert-") as folder:
        said, told = options or ConvertOptions(), console or Console()
        prepared: Prepared | PreparedProgram
        if source.is_program:
            prepared = build_program(source, said, Path(folder), told, version=version)
        else:
            prepared = build_manifest(as_onnx(source, said, Path(folder), told), version=version)
    label, digest = version_of(prepared.manifest)
    return Described(prepared.manifest, label, digest, prepared.files, prepared.warnings)


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

    Args:
        path: As for `describe`.
        name: As for `describe`.
        store: The registry.
        alias: Moved to the new version at the end; None moves none.
        version: As for `describe`.
        options: As for `describe`.
        dry_run: Plan only; nothing is written.
        signer: Signs the manifest; None publishes a version that only functions in development serve.
        console: Told while it is done.

    Raises:
        RefusedError: As for `describe`; or the version is taken by other bytes, or signed by
            another key.
        FailedError: Somebody else moved the alias meanwhile; the version itself is published.
        StoreError: The registry cannot be read or written. Run again: what was done is kept.
    """
    with console.step(f"Checking {path.name}"):
        described = describe(path, name, version=version, options=options, console=console)
    for warning in described.warnings:
        console.warn(warning)
    if signer is None:
        console.warn(_UNSIGNED)
    actions = plan_publication(described.manifest, described.files, store=store, alias=alias, signer=signer)
    if not dry_run:
        execute(actions, store=store, console=console)
    return Published(
        name=described.manifest.name,
        version=described.version,
        manifest_sha256=described.manifest_sha256,
        wrote=bool(actions.pending) and not dry_run,
        actions=actions,
        dry_run=dry_run,
    )
