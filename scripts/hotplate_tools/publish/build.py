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
from hotplate.manifest.schema import (
    FORMAT,
    FileEntry,
    Golden,
    Manifest,
    Plan,
    Provenance,
    decode,
    encode,
)
from hotplate.runtime.session import Session
from hotplate.runtime.transforms import Transforms
from hotplate_tools.convert.converted import golden_documents
from hotplate_tools.convert.record import read_record
from hotplate_tools.failures import RefusedError
from hotplate_tools.naming import module_name
from hotplate_tools.optimise.forms import optimise
from hotplate_tools.publish.card import card_of, refuse_wrong_head
from hotplate_tools.publish.golden import generate, read_rows, replay
from hotplate_tools.publish.graph import Graph, inspect_graph
from hotplate_tools.publish.signature import refuse_disagreement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from hotplate.manifest.schema import Parity
    from hotplate_tools.convert.converted import Conversion
    from hotplate_tools.optimise.forms import Served
    from hotplate_tools.publish.model_yaml import ModelSpec
    from hotplate_tools.publish.source import Source

    Role = Literal["graph", "weights", "native-graph", "native-weights", "asset", "golden", "card"]

__all__ = ["LocalFile", "Prepared", "build_manifest", "load_transforms"]

# Generated answers come from this machine's processor; another one rounds differently. Ours.
GENERATED_RTOL = 1e-3
GENERATED_ATOL = 1e-4

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
    """

    manifest: Manifest
    files: tuple[LocalFile, ...]
    warnings: tuple[str, ...]
    graph: Graph
    served: Served


def build_manifest(source: Source, *, version: str | None) -> Prepared:
    """Return the version that `source` is.

    Raises:
        RefusedError: The graph, the signature or the golden rows are not fit to be published.
    """
    graph, conversion = inspect_graph(source.graph), source.conversion
    transforms = None
    if source.spec:
        transforms = load_transforms(
            source.name, {path: file.read_bytes() for path, file in source.assets.items()}
        )
    inputs, outputs = graph.inputs, graph.outputs
    if source.spec:
        inputs = tuple(spec.declared() for spec in source.spec.inputs)
        outputs = tuple(spec.declared() for spec in source.spec.outputs)
        refuse_disagreement(source.spec, graph, has_transforms=transforms is not None)
    session = _session(graph, source)
    owner = source.spec.plan if source.spec else None
    served = optimise(
        source.graph,
        graph,
        session,
        owner.declared() if owner else Plan(),
        fixed_form=owner.weight_form if owner else None,
    )
    # Rows are replayed by the form that is served.
    golden, rows, warnings = _golden(source, graph, served.session, transforms)
    files = form_files(served)
    files += [_file("golden.jsonl", "golden", rows)] if golden else []
    files += [_file("card.md", "card", _card(source.spec, source))] if source.spec else []
    files += [_file(path, "asset", file.read_bytes()) for path, file in source.assets.items()]
    files.sort(key=lambda file: file.entry.path)
    spec = source.spec
    manifest = Manifest(
        format=FORMAT,
        name=source.name,
        inputs=inputs,
        outputs=outputs,
        files=tuple(file.entry for file in files),
        version=version,
        task=spec.task if spec else "",
        producer=f"hotplate {hotplate.__version__}",
        labels=dict(spec.labels) if spec else dict(conversion.labels) if conversion else {},
        golden=golden,
        plan=served.plan,
        parity=_parity(source, graph),
        provenance=_provenance(source),
    )
    try:
        checked = decode(encode(manifest))
    except ManifestError as fault:
        raise RefusedError(str(fault)) from fault
    return Prepared(checked, tuple(files), (*served.notes, *warnings), graph, served)


def form_files(served: Served) -> list[LocalFile]:
    """Return the files of a form, and of the native one where there is one."""
    portable, native = served.portable, served.native
    files = [_file("model.onnx", "graph", portable.graph)]
    files += [_file(location, "weights", file) for location, file in portable.weights.items()]
    if native:
        files.append(_file(f"model.{served.plan.isa}.onnx", "native-graph", native.graph))
        files += [_file(location, "native-weights", file) for location, file in native.weights.items()]
    return files


def _provenance(source: Source) -> Provenance:
    stated = Provenance(**source.spec.provenance.model_dump()) if source.spec else Provenance()
    if stated.framework or not source.conversion:
        return stated
    return msgspec.structs.replace(stated, framework=source.conversion.parity.framework)


def _parity(source: Source, graph: Graph) -> Parity | None:
    if source.conversion:
        return source.conversion.parity
    return read_record(source.parity, graph) if source.parity else None


def load_transforms(name: str, assets: Mapping[str, bytes]) -> Transforms | None:
    """Return what `functions.<name>.model` puts around the graph, or None if there is no such module.

    `-` and `.` in a model's name are `_` in the folder's.

    Raises:
        RefusedError: There are assets and nothing that takes them, or not those it needs.
    """
    wanted = f"functions.{module_name(name)}.model"
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


def _card(spec: ModelSpec, source: Source) -> bytes:
    if source.card is None:
        return card_of(spec)
    raw = source.card.read_bytes()
    refuse_wrong_head(raw, spec)
    return raw


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


def _golden(
    source: Source, graph: Graph, session: Session, transforms: Transforms | None
) -> tuple[Golden | None, bytes, tuple[str, ...]]:
    if source.spec and source.spec.golden and source.golden:
        raw, rows = read_rows(source.golden)
        golden = Golden(rows=len(rows), rtol=source.spec.golden.rtol, atol=source.spec.golden.atol)
        replay(
            rows,
            inputs=[spec.declared() for spec in source.spec.inputs],
            outputs=[spec.declared() for spec in source.spec.outputs],
            session=session,
            transforms=transforms,
            bounds=golden,
        )
        return golden, raw, ()
    if transforms:
        raise RefusedError(
            f"{source.name} has pre- and postprocessing of its own, but no golden rows",
            advice="Name a file of them in model.yaml: only rows can tell whether both fit this graph.",
        )
    if source.conversion and source.conversion.golden:
        golden, raw = source.conversion.golden, source.conversion.golden_rows
        documents = golden_documents(raw)
        replay(
            documents,
            inputs=graph.inputs,
            outputs=graph.outputs,
            session=session,
            transforms=None,
            bounds=golden,
        )
        return golden, raw, _conversion_warnings(source.conversion)
    raw, count = generate(graph.inputs, session)
    if not count:
        warning = "no golden rows: the graph gives no stable answer to made-up inputs; add some of your own"
        return None, b"", (warning,)
    return Golden(rows=count, rtol=GENERATED_RTOL, atol=GENERATED_ATOL), raw, ()


def _conversion_warnings(conversion: Conversion) -> tuple[str, ...]:
    if not conversion.parity.made_up:
        return ()
    return ("the conversion was compared on made-up rows; rows of your own (--rows) prove more",)


def _file(path: str, role: Role, body: bytes | Path) -> LocalFile:
    if isinstance(body, bytes):
        return LocalFile(FileEntry(path, role, len(body), hashlib.sha256(body).hexdigest()), body)
    with body.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return LocalFile(FileEntry(path, role, stream.tell(), digest), body)
