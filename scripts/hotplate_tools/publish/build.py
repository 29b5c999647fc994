"""The manifest of a source: everything that can be known before a registry is asked.

Deterministic: the same files and words give the same bytes, on any day and any machine. The
exception is a bare graph, whose golden rows are answers of this machine's processor.
"""

from __future__ import annotations

import hashlib
import importlib
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import hotplate
from hotplate.errors import GraphError, ManifestError
from hotplate.generation.chat import CONFIG
from hotplate.manifest.schema import (
    FORMAT,
    FileEntry,
    Manifest,
    Plan,
    Provenance,
    decode,
    encode,
)
from hotplate.runtime.session import Session
from hotplate.runtime.transforms import Transforms
from hotplate_tools.console import Console
from hotplate_tools.convert.record import read_record
from hotplate_tools.failures import RefusedError
from hotplate_tools.naming import module_name
from hotplate_tools.optimise.evaluation import read_evaluation
from hotplate_tools.optimise.forms import optimise
from hotplate_tools.optimise.variants import choose_variant
from hotplate_tools.publish.bounds import refuse_huge_signature, refuse_long_manifest, refuse_long_names
from hotplate_tools.publish.card import card_of, read_head
from hotplate_tools.publish.graph import Graph, inspect_graph
from hotplate_tools.publish.pinned_rows import pinned_rows
from hotplate_tools.publish.signature import refuse_disagreement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from hotplate.manifest.schema import Parity
    from hotplate.protocol.types import MetadataTensor
    from hotplate_tools.optimise.choice import Choice, VariantOptions
    from hotplate_tools.optimise.forms import Served
    from hotplate_tools.publish.source import Source

    type _Tensors = tuple[MetadataTensor, ...]
    Role = Literal["graph", "weights", "native-graph", "native-weights", "asset", "golden", "card"]

__all__ = [
    "LocalFile",
    "Prepared",
    "build_manifest",
    "local_file",
    "stated_provenance",
    "with_card",
]

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file of the version and where its bytes are."""

    entry: FileEntry
    body: bytes | Path


@dataclass(frozen=True, slots=True)
class Prepared:
    """A manifest, the files it lists in its order, and what the publisher should know.

    Attributes:
        manifest, files, warnings: As said.
        graph, served: The graph as given and the form that is published, for measuring.
        choice: Variants that were considered; None if none were asked for.
    """

    manifest: Manifest
    files: tuple[LocalFile, ...]
    warnings: tuple[str, ...]
    graph: Graph
    served: Served
    choice: Choice | None = None


def build_manifest(
    source: Source,
    *,
    version: str | None,
    variants: VariantOptions | None = None,
    rows: Path | None = None,
    console: Console | None = None,
) -> Prepared:
    """Return the version that `source` is.

    Args:
        source: Its graph is ONNX.
        version: SemVer to publish under, or None.
        variants: Smaller variants to consider; None publishes the float graph.
        rows: Evaluation rows for them; None takes those of `model.yaml`.
        console: Told while variants are made.

    Raises:
        RefusedError: The graph, the signature or the golden rows are not fit to be published.
    """
    graph, conversion = inspect_graph(source.graph), source.conversion
    spec = source.spec
    assets = {path: file.read_bytes() for path, file in source.assets.items()}
    transforms = load_transforms(source.name, assets) if spec else None
    inputs, outputs = _signature(source, graph, has_transforms=transforms is not None)
    labels = dict(spec.labels) if spec else dict(conversion.labels) if conversion else {}
    refuse_long_names(graph.weights, labels)
    session = _session(graph, source)
    owner = spec.plan if spec else None
    served = optimise(
        source.graph,
        graph,
        session,
        owner.declared() if owner else Plan(),
        fixed_form=owner.weight_form if owner else None,
    )
    # Rows are replayed by the form that is served; by the float one always, and to the owner's bounds.
    golden, body, warnings = pinned_rows(source, graph, served.session, transforms)
    choice = None
    if variants:
        if transforms and transforms.rollout:
            raise RefusedError(f"{source.name} runs its graph several times a request, and has no variants")
        choice = _choice(
            source, graph, served, transforms, inputs, outputs, variants, rows, console or Console()
        )
    if choice and choice.taken:
        original, served = served.session, choice.taken.served
        golden, body, warnings = pinned_rows(source, graph, served.session, transforms, original=original)
    files = form_files(served)
    files += [local_file("golden.jsonl", "golden", body)] if golden else []
    files += [local_file(path, "asset", body) for path, body in assets.items()]
    files.sort(key=lambda file: file.entry.path)
    manifest = Manifest(
        format=FORMAT,
        name=source.name,
        inputs=inputs,
        outputs=outputs,
        files=tuple(file.entry for file in files),
        version=version,
        task=spec.task if spec else "",
        producer=f"hotplate {hotplate.__version__}",
        labels=labels,
        golden=golden,
        plan=served.plan,
        parity=_parity(source, graph),
        variant=choice.record if choice else None,
        provenance=stated_provenance(source),
    )
    manifest, files = with_card(manifest, files, source)
    refuse_long_manifest(manifest)
    try:
        checked = decode(encode(manifest))
    except ManifestError as fault:
        raise RefusedError(str(fault)) from fault
    notes = (*served.notes, *(choice.notes if choice else ()), *warnings)
    return Prepared(checked, tuple(files), notes, graph, served, choice)


def _choice(
    source: Source,
    graph: Graph,
    served: Served,
    transforms: Transforms | None,
    inputs: tuple[MetadataTensor, ...],
    outputs: tuple[MetadataTensor, ...],
    variants: VariantOptions,
    rows: Path | None,
    console: Console,
) -> Choice:
    owner = source.spec.plan if source.spec else None
    return choose_variant(
        source.graph,
        graph,
        served,
        owner.declared() if owner else Plan(),
        read_evaluation(
            variants.rows or rows or source.evaluation or source.golden, inputs, outputs, transforms
        ),
        variants,
        fixed_form=owner.weight_form if owner else None,
        transforms=transforms,
        holds=lambda session: pinned_rows(source, graph, session, transforms, original=served.session),
        console=console,
    )


def _signature(source: Source, graph: Graph, *, has_transforms: bool) -> tuple[_Tensors, _Tensors]:
    """Return inputs and outputs as callers see them."""
    inputs, outputs = graph.inputs, graph.outputs
    if source.spec:
        inputs = tuple(spec.declared() for spec in source.spec.inputs)
        outputs = tuple(spec.declared() for spec in source.spec.outputs)
        refuse_disagreement(source.spec, graph, has_transforms=has_transforms)
    refuse_huge_signature(inputs, outputs)
    return inputs, outputs


def form_files(served: Served) -> list[LocalFile]:
    """Return the files of a form, and of the native one where there is one."""
    portable, native = served.portable, served.native
    files = [local_file("model.onnx", "graph", portable.graph)]
    files += [local_file(location, "weights", file) for location, file in portable.weights.items()]
    if native:
        files.append(local_file(f"model.{served.plan.isa}.onnx", "native-graph", native.graph))
        files += [local_file(location, "native-weights", file) for location, file in native.weights.items()]
    return files


def stated_provenance(source: Source) -> Provenance:
    """Return what `model.yaml` says of the origin, with the framework that a conversion found."""
    stated = Provenance(**source.spec.provenance.model_dump()) if source.spec else Provenance()
    if source.revision and stated.git_revision not in (None, source.revision):
        raise RefusedError(
            f"model.yaml states git_revision {stated.git_revision}, git says {source.revision}",
            advice="State it there, or have it recorded; not both.",
        )
    made_by = source.conversion.parity.framework if source.conversion else ""
    return msgspec.structs.replace(
        stated,
        framework=stated.framework or made_by,
        git_revision=stated.git_revision or source.revision,
    )


def _parity(source: Source, graph: Graph) -> Parity | None:
    if source.conversion:
        return source.conversion.parity
    return read_record(source.parity, graph) if source.parity else None


# The steps of models that generate text.
GENERATION = "hotplate.generation.steps"


def load_transforms(name: str, assets: Mapping[str, bytes]) -> Transforms | None:
    """Return what `functions.<name>.model` puts around the graph, or None if there is no such module.

    `-` and `.` in a model's name are `_` in the folder's. A model that generates text, as its assets say,
    has the package's own steps: `functions/chat` serves all of those.

    Raises:
        RefusedError: There are assets and nothing that takes them, or not those it needs.
    """
    wanted = GENERATION if CONFIG in assets else f"functions.{module_name(name)}.model"
    try:
        module = importlib.import_module(wanted)
    except ModuleNotFoundError as fault:
        if fault.name and (wanted == fault.name or wanted.startswith(f"{fault.name}.")):
            _refuse_unused(name, assets)
            return None
        raise
    if not hasattr(module, "transforms"):
        _refuse_unused(name, assets)
        return Transforms(module.preprocess, module.postprocess, getattr(module, "rollout", None))
    try:
        made: Transforms = module.transforms(assets)
    except (LookupError, ValueError) as fault:
        raise RefusedError(
            f"the assets of {name} ({', '.join(sorted(assets)) or 'none'}) are not what {wanted} needs: "
            f"{type(fault).__name__}: {fault}",
            advice="Name them in model.yaml: assets: [FILE, ...].",
        ) from fault
    return made


def _refuse_unused(name: str, assets: Mapping[str, bytes]) -> None:
    if assets:
        raise RefusedError(
            f"{name} has assets ({', '.join(sorted(assets))}), but its function takes none",
            advice=f"functions/{module_name(name)}/model.py takes them by `transforms(assets)`.",
        )


def with_card(manifest: Manifest, files: list[LocalFile], source: Source) -> tuple[Manifest, list[LocalFile]]:
    """Return the manifest and its files with the source's card, or with one written from the manifest."""
    spec = source.spec
    raw = source.card.read_bytes() if source.card else b""
    if not source.card:
        raw = card_of(manifest, license_name=spec.license if spec else None)
    head = read_head(raw, spec)
    files = sorted([*files, local_file("card.md", "card", raw)], key=lambda file: file.entry.path)
    entries = tuple(file.entry for file in files)
    parameters = {"card": head} if head else {}
    return msgspec.structs.replace(manifest, files=entries, parameters=parameters), files


def _session(graph: Graph, source: Source) -> Session:
    weights = {}
    for location, file in graph.weights.items():
        with file.open("rb") as stream:
            # Mapped, not read: weights can be larger than memory to spare. An empty file cannot be.
            size = file.stat().st_size
            view = (
                memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
                if size
                else memoryview(b"")
            )
        weights[location] = view
    threads = source.spec.plan.intra_op_threads if source.spec else None
    try:
        # One thread unless planned otherwise: the order of a sum then never changes between runs.
        return Session(graph.body, weights=weights, threads=threads or 1)
    except GraphError as fault:
        raise RefusedError(
            f"ONNX Runtime does not load {source.graph.name}: {fault}",
            advice="Export it again for an operator set that this ONNX Runtime knows.",
        ) from fault


def local_file(path: str, role: Role, body: bytes | Path) -> LocalFile:
    """Return one file of a version, hashed."""
    if isinstance(body, bytes):
        return LocalFile(FileEntry(path, role, len(body), hashlib.sha256(body).hexdigest()), body)
    with body.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return LocalFile(FileEntry(path, role, stream.tell(), digest), body)
