"""`model.yaml`: what the owner of a model says about it.

Rules kept here:

1. Read as data, never as Python: YAML's safe subset, no aliases (a few hundred bytes of them can
   stand for gigabytes), no key twice, at most `MAX_YAML_BYTES`.
2. An unknown key is an error: a misspelt tolerance must not become the default.

Source: YAML 1.1, as PyYAML reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hotplate.manifest.schema import Arena, InitMode, Plan, Prepacking, Tier
from hotplate.manifest.steps import Combine
from hotplate.protocol.types import DatatypeName, MetadataTensor
from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "MAX_YAML_BYTES",
    "GoldenSpec",
    "ModelSpec",
    "PlainLoader",
    "PlanSpec",
    "ProvenanceSpec",
    "StepSpec",
    "TensorSpec",
    "TrainingSpec",
    "read_spec",
]

# Ours: a thousand labels are 20 KB.
MAX_YAML_BYTES = 256 * 1024

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Revision = Annotated[str, Field(pattern="^[0-9a-f]{7,64}(-dirty)?$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Tolerance = Annotated[Number, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorSpec(_Section):
    """One tensor as callers see it; the fields of `MetadataTensor`."""

    name: Annotated[str, Field(min_length=1, max_length=512)]
    datatype: DatatypeName
    shape: tuple[Annotated[int, Field(ge=-1)], ...]
    one_of: str | None = None
    description: str = ""
    optional: bool = False

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.optional and self.one_of:
            raise ValueError("optional and one_of exclude each other")
        return self

    def declared(self) -> MetadataTensor:
        """Return the manifest's form."""
        return MetadataTensor(**self.model_dump())


class GoldenSpec(_Section):
    """Where the golden rows are, and how far an answer may be from them."""

    file: str
    rtol: Tolerance = 1e-5
    atol: Tolerance = 1e-6


class PlanSpec(_Section):
    """How the owner wants the model to be run; fields of the manifest's `Plan`. Absent: by the rules."""

    memory_mb: Annotated[int, Field(ge=128, le=10240)] | None = None
    intra_op_threads: Annotated[int, Field(ge=1, le=6)] | None = None
    tier: Tier | None = None
    batch_size: Annotated[int, Field(ge=1, le=10000)] | None = None
    init_mode: InitMode | None = None
    weight_form: Literal["source", "inline", "borrowed"] | None = None
    prepacking: Prepacking | None = None
    arena: Arena | None = None
    fallback: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9._-]{0,62}$")] | None = None
    max_rows: Annotated[int, Field(ge=1, le=2**31)] | None = None

    def declared(self) -> Plan:
        """Return the manifest's form of what was said."""
        return Plan(**self.model_dump(exclude_none=True))


class ProvenanceSpec(_Section):
    """Where the model came from; the fields of the manifest's `Provenance`."""

    command: str = ""
    data: str = ""
    data_sha256: Digest | None = None
    seed: int | None = None
    framework: str = ""
    git_revision: Revision | None = None
    metrics: dict[str, Number] = Field(default_factory=dict)


Reference = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9._-]{0,62}(@[A-Za-z0-9][A-Za-z0-9._-]{0,62})?$")]


class StepSpec(_Section):
    """One step of a pipeline; the fields of the manifest's `Step`, `NAME` or `NAME@VERSION` for a member."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,62}$")]
    inputs: dict[str, str]
    model: Reference | None = None
    ensemble: tuple[Reference, ...] = ()
    combine: Combine | None = None
    switch: dict[str, Reference] = Field(default_factory=dict)
    by: str | None = None
    otherwise: Reference | None = None
    code: str | None = None
    outputs: tuple[str, ...] = ()

    def references(self) -> list[str]:
        """Return the members as written."""
        named = (self.model, *self.ensemble, *self.switch.values(), self.otherwise)
        return [reference for reference in named if reference is not None]


class TrainingSpec(_Section):
    """How `hotplate train` makes the model again; no part of the published version.

    Attributes:
        environment: `requirements/<environment>.txt`; None for a program, whose function's own is taken, and
            for a pipeline, whose members are trained.
        python: Version of its interpreter, such as 3.11; None takes the tools' own.
        by_pip: As `environments.ensure` takes it.
        bars: Least value of each held-out metric; a model below one of them is refused.
        keep: Name under which the framework's own file is kept beside the graph; None keeps none.
    """

    environment: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]*$")] | None = None
    python: Annotated[str, Field(pattern=r"^3\.\d+$")] | None = None
    by_pip: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]*$")] | None = None
    bars: Annotated[dict[str, Number], Field(min_length=1)]
    keep: str | None = None


class ModelSpec(_Section):
    """All of `model.yaml`. Files are named relative to its folder and stay inside it.

    `artefact` is a file or folder of any kind in `convert.kinds`, or `package.module:factory`;
    `license` is a name for the card's head, such as `mit`;
    `evaluation` (.npz or .jsonl) and `tolerance` are for the parity gate of a converted one; `parity` is
    the record of a gate that was passed before. `assets` are what the function's `transforms` gets. Of kind
    `python` there is no artefact: the function's own code is the model, `assets` are its files and folders.
    Of kind `pipeline` there is none either: `steps` say what runs, `results` which tensors are answered.
    """

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9._-]{0,62}$")]
    task: str = ""
    license: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")] | None = None
    inputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    labels: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    kind: Literal["python", "spacy", "pipeline"] | None = None
    steps: tuple[StepSpec, ...] = ()
    results: dict[str, str] = Field(default_factory=dict)
    artefact: str | None = None
    assets: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    evaluation: str | None = None
    tolerance: Annotated[Number, Field(gt=0, lt=1)] | None = None
    golden: GoldenSpec | None = None
    parity: str | None = None
    training: TrainingSpec | None = None
    card: str | None = None
    plan: PlanSpec = PlanSpec()
    provenance: ProvenanceSpec = ProvenanceSpec()

    @model_validator(mode="after")
    def _something_to_publish(self) -> Self:
        has_none = self.kind in ("python", "pipeline")
        if has_none and self.artefact is not None:
            raise ValueError(f"a model of kind {self.kind} has no artefact")
        if not has_none and self.artefact is None:
            raise ValueError("artefact is missing; only a model of kind python or pipeline has none")
        if (self.kind == "pipeline") != bool(self.steps) or bool(self.steps) != bool(self.results):
            raise ValueError("steps and results are what a model of kind pipeline has, and no other")
        if self.kind == "spacy" and self.assets:
            raise ValueError("the assets of a spaCy pipeline are its folder")
        if self.training and (self.training.environment is None) != (self.kind is not None):
            raise ValueError(
                "training.environment is for graphs, which need one; "
                "a program has its function's, a pipeline its members'"
            )
        return self


def read_spec(file: Path) -> ModelSpec:
    """Return what `file` says.

    Raises:
        RefusedError: Too long, not YAML, unsafe, or a key that is missing, unknown, twice or wrong.
    """
    with file.open("rb") as stream:
        raw = stream.read(MAX_YAML_BYTES + 1)
    if len(raw) > MAX_YAML_BYTES:
        raise RefusedError(f"{file.name} is longer than {MAX_YAML_BYTES} bytes")
    try:
        document = yaml.load(raw, Loader=PlainLoader)  # noqa: S506 - a SafeLoader that refuses more
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as fault:
        raise RefusedError(f"{file.name} cannot be read: {fault}") from fault
    try:
        return ModelSpec.model_validate(document)
    except ValidationError as fault:
        problems = "; ".join(
            f"{'.'.join(map(str, error['loc'])) or 'document'}: {error['msg']}" for error in fault.errors()
        )
        raise RefusedError(f"{file.name}: {problems}") from fault


class PlainLoader(yaml.SafeLoader):
    """YAML's safe subset without aliases and without repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse an alias; else as PyYAML does."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there twice; else as PyYAML does."""
        mapping = super().construct_mapping(node, deep=True)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is there twice", node.start_mark)
        return mapping
