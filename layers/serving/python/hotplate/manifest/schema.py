r"""What a published version is: the manifest, its rules, and its canonical bytes.

Rules kept here:

1. A manifest is read only after its length was capped and its digest compared with the pin;
   `decode` gets bytes that are already the published ones, and still believes nothing in them.
2. Unknown fields are refused: a reader that ignores what it does not know serves the wrong thing.
3. `encode` is canonical (sorted keys, no white space, UTF-8), so equal manifests have equal digests.
4. A file's place inside a version is a plain relative name: no `..`, no leading `/`, no `\\`.

No input or output happens here. Format history: 1, the first.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from hotplate.errors import ManifestError, ManifestFormatError
from hotplate.manifest.record import ModelName, Record, Sha256
from hotplate.manifest.steps import Pipeline
from hotplate.protocol.types import MetadataTensor

__all__ = [
    "FORMAT",
    "PIPELINE_PLATFORM",
    "PROGRAM_PLATFORMS",
    "Arena",
    "Considered",
    "FileEntry",
    "Golden",
    "InitMode",
    "Manifest",
    "OutputParity",
    "Parity",
    "Plan",
    "Prepacking",
    "Provenance",
    "Tier",
    "Variant",
    "VariantKind",
    "decode",
    "encode",
]

FORMAT = 1

# Platforms of models that are Python code of their function, with assets instead of a graph.
PROGRAM_PLATFORMS = ("python", "spacy")

# Platform of models made of other models, with steps instead of a graph.
PIPELINE_PLATFORM = "pipeline"

Revision = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{7,64}(-dirty)?\Z")]
Tier = Literal["lambda-zip", "lambda-image", "sagemaker-async", "sagemaker-realtime"]
InitMode = Literal["init", "first-invoke", "snap-start", "provisioned", "managed-instances"]
Prepacking = Literal["on", "parallel", "off", "later"]
Arena = Literal["on", "off"]
VariantKind = Literal["int8", "fp16", "int4"]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]  # exact in every JSON reader

_GRAPHLESS_ROLES = ("asset", "golden", "card")
_UNSAFE_PATH = re.compile(r"(^/)|(^|/)\.\.?(/|$)|\\|//|^\Z|/\Z|[\x00-\x1f]")


class FileEntry(Record, frozen=True):
    """One file of a version; its bytes are the blob with this digest.

    Attributes:
        path: Relative name inside the version, e.g. `model.onnx`.
        role: What the file is for. The runtime fetches `asset` and either `graph` and `weights` or,
            where the plan says they fit its processor, `native-graph` and `native-weights`; no other.
        size: Length in bytes.
        sha256: Lower-case hex digest of the bytes.
    """

    path: str
    role: Literal["graph", "weights", "native-graph", "native-weights", "asset", "golden", "card"]
    size: Size
    sha256: Sha256


class Golden(Record, frozen=True):
    """How the golden rows are compared: |got - expected| <= atol + rtol * |expected|."""

    rows: Annotated[int, msgspec.Meta(ge=1)]
    rtol: float = 1e-5
    atol: float = 1e-6


class OutputParity(Record, frozen=True):
    """How far one output of the graph was from the framework's; figures rounded up to one digit.

    Attributes:
        max_abs: Largest difference.
        max_rel: The same, relative to the largest magnitude that the framework gave.
        label_agreement: Share of rows with the same label or the same largest score; None for
            outputs that are neither.
    """

    max_abs: float
    max_rel: float
    label_agreement: float | None = None


class Parity(Record, frozen=True):
    """The comparison of a converted graph with the framework it came from, before it was published.

    Attributes:
        framework: The framework and the converter, with versions.
        rows: How many rows were compared, over all cases.
        tolerance: Largest `max_rel` that was allowed.
        outputs: By output name of the graph.
        cases: The sizes asked, in words, e.g. `batch 3, length 12`.
        made_up: Whether the rows were made up from the signature, not the owner's own.
    """

    framework: str
    rows: Annotated[int, msgspec.Meta(ge=1)]
    tolerance: float
    outputs: dict[str, OutputParity]
    cases: tuple[str, ...] = ()
    made_up: bool = False


class Plan(Record, frozen=True):
    """How a version wants to be run; what is absent is left to the rules of whoever runs it.

    Attributes:
        memory_mb: Lambda memory in MB.
        intra_op_threads: Threads of one operator; None means one per vCPU of the memory.
        tier: Where it runs, if its owner fixed that.
        batch_size: Rows that callers with many should send at once.
        init_mode: When the model is loaded.
        weight_form: `source` is the graph as given; `inline` an optimised graph with its weights
            inside; `borrowed` an optimised graph beside one file of weights that the session borrows.
        prepacking: Whether the session rearranges weights for faster runs, and on how many threads;
            `later` answers first, and does it in parallel afterwards.
        arena: Whether what a run needs is kept for the next one, or given back to the system.
        load_level: `none` if the graph needs no optimising when it is loaded; `all` otherwise.
        isa, native_onnxruntime: The processors, and the ONNX Runtime, that the files of role
            `native-graph` and `native-weights` are for. Anything else takes `graph` and `weights`.
        fallback: Who answers what this version cannot on Lambda, now or at all: `sagemaker`, the same model
            there, or the name of another model of the same signature; see `hotplate.http.fallback`.
        max_rows: Most rows of one request on Lambda; files of batch are not bound by it.
    """

    memory_mb: Annotated[int, msgspec.Meta(ge=128, le=10240)] | None = None
    intra_op_threads: Annotated[int, msgspec.Meta(ge=1, le=6)] | None = None
    tier: Tier | None = None
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=10000)] | None = None
    init_mode: InitMode | None = None
    weight_form: Literal["source", "inline", "borrowed"] = "source"
    prepacking: Prepacking = "on"
    arena: Arena = "on"
    load_level: Literal["all", "none"] = "all"
    isa: str | None = None
    native_onnxruntime: str | None = None
    fallback: ModelName | None = None
    max_rows: Annotated[int, msgspec.Meta(ge=1, le=2**31)] | None = None


class Considered(Record, frozen=True):
    """A variant that was made and measured, taken or not.

    Attributes:
        verdict: `taken`, or why not.
        quality, loss: On the output that lost most; None if it could not be made or did not answer.
        bytes: What a cold start would fetch; None likewise.
    """

    verdict: str
    quality: float | None = None
    loss: float | None = None
    bytes: Size | None = None


class Variant(Record, frozen=True):
    """What was published instead of the float graph, and what that cost on the owner's rows.

    Attributes:
        kind: `int8`, `fp16` or `int4`.
        metric: `accuracy` (share of right labels), `r2` (share of variance explained), `agreement`
            (share of labels as the reference has them), `fidelity` (1 - RMS difference / RMS of the
            reference); 1 is best.
        output: The output that lost most.
        reference: Whether answers were compared with `expected` ones or with the `float` form's.
        quality, float_quality: By the metric.
        loss, budget: `float_quality - quality`, and the most it may be.
        rows, rows_sha256: How many rows that was measured on, and the digest of their file.
        bytes, float_bytes: What a cold start fetches, and would have to.
        considered: Everything that was asked for, by kind.
    """

    kind: VariantKind
    metric: Literal["accuracy", "r2", "agreement", "fidelity"]
    output: str
    reference: Literal["expected", "float"]
    quality: float
    float_quality: float
    loss: float
    budget: float
    rows: Annotated[int, msgspec.Meta(ge=1)]
    rows_sha256: Sha256
    bytes: Size
    float_bytes: Size
    considered: dict[VariantKind, Considered] = msgspec.field(default_factory=dict)


class Provenance(Record, frozen=True):
    """Where the model came from: enough to make it again. Recorded, never used to serve.

    Attributes:
        command: What trained it.
        data, data_sha256: What it was trained on.
        seed, framework: As said.
        git_revision: The commit that last changed the source, `-dirty` behind it if that was not all.
        metrics: As the owner measured them.
    """

    command: str = ""
    data: str = ""
    data_sha256: Sha256 | None = None
    seed: int | None = None
    framework: str = ""
    git_revision: Revision | None = None
    metrics: dict[str, float] = msgspec.field(default_factory=dict)


class Manifest(Record, frozen=True):
    """Everything that a version is.

    Attributes:
        format: `FORMAT` of the writer.
        name: Model name.
        version: SemVer given by the publisher, or None: then the version is the first twelve hex
            digits of the manifest's own digest.
        task: What the model does, e.g. `image-classification`.
        producer: The program that wrote this, e.g. `hotplate 0.1.0`.
        platform: The protocol's word for the model format; one of `PROGRAM_PLATFORMS` has no graph, and
            `PIPELINE_PLATFORM` has those of its members.
        inputs, outputs: The signature as callers see it.
        files: All files, sorted by path.
        labels: Names of the classes by output name.
        golden: How to compare the golden rows, if there are any.
        parity: How the graph compared with its framework, if it was converted by the publisher.
        variant: What is served instead of the float graph, if the publisher chose that; `parity` is
            then the float graph's.
        pipeline: The members and steps, if the model is made of other models.
        plan, provenance, parameters: See the classes; `parameters` is free and shown to callers.
    """

    format: int
    name: ModelName
    inputs: Annotated[tuple[MetadataTensor, ...], msgspec.Meta(min_length=1)]
    outputs: Annotated[tuple[MetadataTensor, ...], msgspec.Meta(min_length=1)]
    files: Annotated[tuple[FileEntry, ...], msgspec.Meta(min_length=1)]
    version: Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?\Z")] | None = None
    task: str = ""
    producer: str = ""
    platform: str = "onnx_onnxv1"
    labels: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    golden: Golden | None = None
    parity: Parity | None = None
    variant: Variant | None = None
    pipeline: Pipeline | None = None
    plan: Plan = msgspec.field(default_factory=Plan)
    provenance: Provenance = msgspec.field(default_factory=Provenance)
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def is_program(self) -> bool:
        """Whether the model is its function's own code, and no graph."""
        return self.platform in PROGRAM_PLATFORMS

    @property
    def has_graph(self) -> bool:
        """Whether the version itself holds a graph."""
        return not self.is_program and self.pipeline is None

    def file(self, role: str) -> FileEntry:
        """Return the one file of a role.

        Raises:
            ManifestError: None, or more than one, has that role.
        """
        found = [entry for entry in self.files if entry.role == role]
        if len(found) != 1:
            raise ManifestError(f"manifest of {self.name!r}: {len(found)} files of role {role!r}, not 1")
        return found[0]


def encode(manifest: Manifest) -> bytes:
    """Return the canonical bytes; `decode(encode(m)) == m` for every valid m."""
    return msgspec.json.encode(manifest, order="sorted")


def decode(raw: bytes) -> Manifest:
    """Return the manifest in `raw`.

    Raises:
        ManifestFormatError: The writer's format is not `FORMAT`.
        ManifestError: Not JSON, a field missing, unknown or wrong, a file path that leaves its
            folder, a name or path twice, or bytes that are not canonical.
    """
    head = _decoded(raw, _Head)
    if head.format != FORMAT:
        raise ManifestFormatError(
            f"manifest format {head.format}, this hotplate reads format {FORMAT}: upgrade the serving layer"
        )
    manifest = _decoded(raw, Manifest)
    check(manifest)
    if encode(manifest) != raw:
        raise ManifestError(f"manifest of {manifest.name!r} is not in canonical form")
    return manifest


def _decoded[T](raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise ManifestError(f"not a manifest: {fault}") from fault


def check(manifest: Manifest) -> None:
    """Check what types cannot say: safe, unique and sorted paths, unique tensor names, one graph or none.

    Raises:
        ManifestError: Naming the entry at fault.
    """
    for entry in manifest.files:
        if _UNSAFE_PATH.search(entry.path):
            raise ManifestError(f"manifest of {manifest.name!r}: unsafe file path {entry.path!r}")
    paths = [entry.path for entry in manifest.files]
    _refuse_twice(manifest, "file path", paths)
    for path in paths:
        if any(other.startswith(f"{path}/") for other in paths):
            raise ManifestError(f"manifest of {manifest.name!r}: {path!r} is a file and a folder")
    if paths != sorted(paths):
        raise ManifestError(f"manifest of {manifest.name!r}: files are not sorted by path")
    if (manifest.plan.isa is None) != all(not entry.role.startswith("native") for entry in manifest.files):
        raise ManifestError(f"manifest of {manifest.name!r}: native files and the plan's isa go together")
    if manifest.plan.isa is not None:
        manifest.file("native-graph")
    _refuse_twice(manifest, "input", [spec.name for spec in manifest.inputs])
    _refuse_twice(manifest, "output", [spec.name for spec in manifest.outputs])
    if (manifest.platform == PIPELINE_PLATFORM) != (manifest.pipeline is not None):
        raise ManifestError(
            f"manifest of {manifest.name!r}: the platform `pipeline` and its steps go together"
        )
    if manifest.pipeline:
        from hotplate.manifest.wires import check_wires  # nothing that others need

        check_wires(manifest.pipeline, manifest.inputs, manifest.outputs)
    if manifest.has_graph:
        manifest.file("graph")
    for entry in () if manifest.has_graph else manifest.files:
        if entry.role not in _GRAPHLESS_ROLES:
            raise ManifestError(
                f"manifest of {manifest.name!r}: a {manifest.platform} model has no {entry.role!r} file"
            )


def _refuse_twice(manifest: Manifest, what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ManifestError(f"manifest of {manifest.name!r}: {what} {name!r} is there twice")


class _Head(msgspec.Struct):
    """Just enough of any format to tell which it is."""

    format: int
