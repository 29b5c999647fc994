"""What `hotplate choose` compares: each MODEL as the version that it is, in the form this machine loads.

    PATH, NAME=PATH   prepared as `publish` does: converted, checked, optimised
    NAME              of a model that comes with the project, else of a model in the registry

A candidate is a manifest and files in a folder, wherever it came from, so all are loaded, asked and
measured by the same lines. Variants are candidates too: what they lose is seen in the ranking, so they
are held to no budget here, but to their golden rows as ever.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hotplate.runtime.forms import choose_form
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.session import RUNTIME_VERSION
from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.choice import VariantOptions
from hotplate_tools.optimise.forms import Candidate
from hotplate_tools.publish.build import LocalFile, Prepared
from hotplate_tools.publish.find import find_version, read_file
from hotplate_tools.publish.graph import inspect_graph
from hotplate_tools.publish.pipeline import prepare
from hotplate_tools.training.stored import model_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hotplate.manifest.schema import Manifest, VariantKind
    from hotplate.protocol.types import MetadataTensor
    from hotplate.store.base import Store
    from hotplate_tools.console import Console
    from hotplate_tools.convert.converted import ConvertOptions

__all__ = ["Contender", "Given", "published", "variant_of", "written"]

# A variant may lose everything: the ranking shows what it lost.
ANY_LOSS = 1.0


@dataclass(frozen=True, slots=True)
class Given:
    """One MODEL as it was said.

    Attributes:
        said: The words; what it is called where two have the same name.
        kind: Where it is.
        path: For `path`.
        name: Of the model; None takes the one in `model.yaml`, or the file's.
    """

    said: str
    kind: Literal["path", "project", "registry"]
    path: Path | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """A version that can be loaded and asked on this machine.

    Attributes:
        label: What it is called in the ranking.
        manifest: What it is.
        portable: Bytes of its file of role `graph`.
        form: What this machine loads.
        inputs: Of the graph.
        assets: Files by the names that its function knows.
    """

    label: str
    manifest: Manifest
    portable: bytes
    form: Candidate
    inputs: tuple[MetadataTensor, ...]
    assets: Mapping[str, Path]


@contextmanager
def written(
    given: Given,
    folder: Path,
    options: ConvertOptions,
    console: Console,
    *,
    variants: VariantOptions | None = None,
) -> Iterator[Contender]:
    """Yield a model of this machine, prepared; `folder` gets its files.

    Raises:
        RefusedError: It is not fit to be published, is a program, or is not built here.
        FailedError: Its framework cannot be installed, or failed.
    """
    path = given.path or model_folder(given.name or given.said)
    with prepare(path, given.name, options=options, variants=variants, console=console) as prepared:
        if not isinstance(prepared, Prepared):
            raise RefusedError(f"a {prepared.manifest.platform} model, and only graphs are measured")
        if prepared.choice and not prepared.choice.taken:
            raise RefusedError("; ".join(one.verdict for one in prepared.choice.considered.values()))
        yield _contender(given.name or prepared.manifest.name, prepared.manifest, prepared.files, folder)


def published(given: Given, folder: Path, store: Store, alias: str) -> Contender:
    """Return the version that an alias of a registry points at; `folder` gets its files, verified.

    Raises:
        RefusedError: There is no such alias, or it is a program or a pipeline.
        HotplateError: It is not what was published, or the registry cannot be read.
    """
    name = given.name or given.said
    manifest = find_version(store, name, alias=alias).manifest
    if not manifest.has_graph:
        raise RefusedError(f"a {manifest.platform} model, and only graphs are measured")
    files = [LocalFile(entry, read_file(store, entry)) for entry in manifest.files]
    return _contender(name, manifest, files, folder)


@contextmanager
def variant_of(
    kind: VariantKind, given: Given, rows: Path, folder: Path, options: ConvertOptions, console: Console
) -> Iterator[Contender]:
    """Yield a model's variant; `rows` give the ranges of activations. Errors are those of `written`."""
    wanted = VariantOptions((kind,), ANY_LOSS, rows=rows)
    with written(given, folder, options, console, variants=wanted) as contender:
        yield replace(contender, label=f"{contender.label}-{kind}")


def _contender(label: str, manifest: Manifest, files: Sequence[LocalFile], folder: Path) -> Contender:
    form = choose_form(manifest, Ledger(), RUNTIME_VERSION)
    placed: dict[str, dict[str, Path]] = {}
    for file in files:
        place = folder / file.entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file.body, Path):
            place.symlink_to(file.body.resolve())  # weights can be gigabytes
        else:
            place.write_bytes(file.body)
        placed.setdefault(file.entry.role, {})[file.entry.path] = place
    (graph,) = placed[form.graph].values()
    candidate = Candidate(
        name=form.graph,
        graph=graph.read_bytes(),
        weights=placed.get(form.weights, {}),
        level=form.level,
        prepacking=manifest.plan.prepacking,
    )
    (portable,) = placed["graph"].values()
    return Contender(
        label, manifest, portable.read_bytes(), candidate, _inputs(portable), placed.get("asset", {})
    )


def _inputs(graph: Path) -> tuple[MetadataTensor, ...]:
    return inspect_graph(graph).inputs
