"""A model made of models: its manifest, its wires checked, its golden rows replayed through all of its steps.

A member is a version of another model that is a graph and nothing else: what its function answers is what its
session gives, so the pipeline answers the same wherever the member runs. It is pinned by the digest of its
manifest, which the pipeline's manifest, signed, then vouches for.
"""

from __future__ import annotations

import importlib
import math
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

import hotplate
from hotplate.errors import ArtifactError, HotplateError, ManifestError
from hotplate.manifest.schema import (
    FORMAT,
    PIPELINE_PLATFORM,
    Golden,
    Manifest,
    Provenance,
    decode,
    encode,
)
from hotplate.manifest.steps import Member, Pipeline, Step
from hotplate.runtime.pipeline import Steps, made_code, pipeline_of
from hotplate_tools.failures import RefusedError
from hotplate_tools.naming import module_name
from hotplate_tools.planning.estimates import BASE_MB, COPIES, HANDLER_MB, HEADROOM, MEMORY_STEP_MB
from hotplate_tools.publish.bounds import refuse_long_manifest
from hotplate_tools.publish.build import local_file, stated_provenance, with_card
from hotplate_tools.publish.golden import read_rows, refuse_difference, row_feeds
from hotplate_tools.publish.members import load_member
from hotplate_tools.publish.program import PreparedFiles, refuse_conversion
from hotplate_tools.publish.signature import refuse_contradiction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hotplate.runtime.pipeline import MakeCode
    from hotplate_tools.convert.converted import ConvertOptions
    from hotplate_tools.publish.build import LocalFile
    from hotplate_tools.publish.members import Members, MemberVersion
    from hotplate_tools.publish.model_yaml import ModelSpec, StepSpec
    from hotplate_tools.publish.source import Source

__all__ = ["build_pipeline", "draft_predictor", "fused_memory_mb"]

# Lambda takes no less, in MB; and one vCPU is what the answer's time is reckoned with.
LEAST_MB = 1769


def build_pipeline(
    source: Source, options: ConvertOptions, members: Members | None, *, version: str | None
) -> PreparedFiles:
    """Return the version that a pipeline's source is.

    Args:
        source: Of kind pipeline.
        options: How to convert; a pipeline converts nothing.
        members: Where its members are.
        version: SemVer to publish under, or None.

    Raises:
        RefusedError: A member is not there or no plain graph; the wires do not fit; golden rows are missing
            or get other answers.
    """
    spec = source.spec
    if spec is None or spec.golden is None or source.golden is None:
        raise RefusedError(
            f"{source.name} is a pipeline and has no golden rows",
            advice="Name a file of them in model.yaml: only rows can tell that its steps fit each other.",
        )
    if members is None:
        raise RefusedError(
            f"{source.name} is a pipeline, and its members are looked for in a registry",
            advice="`hotplate publish` has one: give --bucket or --registry.",
        )
    refuse_contradiction(spec)
    refuse_conversion(source, spec, options)
    found = _found(spec, members)
    raw, rows = read_rows(source.golden)
    files = [local_file(path, "asset", file) for path, file in source.assets.items()]
    files += [local_file("golden.jsonl", "golden", raw)]
    files.sort(key=lambda file: file.entry.path)
    golden = Golden(rows=len(rows), rtol=spec.golden.rtol, atol=spec.golden.atol)
    manifest = _manifest(
        source.name, spec, found, files, stated_provenance(source), golden=golden, version=version
    )
    assets = {path: file.read_bytes() for path, file in source.assets.items()}
    predictor = _predictor(manifest, assets, found)
    _replay(predictor, manifest, rows, golden)
    manifest, files = with_card(manifest, files, source)
    refuse_long_manifest(manifest)
    return PreparedFiles(manifest, tuple(files), ())


def draft_predictor(spec: ModelSpec, assets: Mapping[str, bytes], members: Members) -> Steps:
    """Return a pipeline as it runs fused, before there are golden rows to publish it with.

    Args:
        spec: Of kind pipeline.
        assets: By path.
        members: Where its members are.

    Raises:
        RefusedError: As of `build_pipeline`, but for the rows.
    """
    found = _found(spec, members)
    files = [local_file(path, "asset", body) for path, body in sorted(assets.items())]
    # A manifest has a file at least; the rows take this one's place.
    files.append(local_file("golden.jsonl", "golden", b""))
    files.sort(key=lambda file: file.entry.path)
    manifest = _manifest(spec.name, spec, found, files, Provenance())
    return _predictor(manifest, assets, found)


def _predictor(manifest: Manifest, assets: Mapping[str, bytes], found: Mapping[str, MemberVersion]) -> Steps:
    memory_mb = manifest.plan.memory_mb or LEAST_MB
    try:
        code = made_code(manifest, assets, _make(manifest.name))
        loaded = {name: load_member(member, memory_mb=memory_mb) for name, member in found.items()}
    except ArtifactError as fault:
        raise RefusedError(str(fault)) from fault
    return Steps(pipeline_of(manifest), loaded, code)


def fused_memory_mb(manifests: Iterable[Manifest]) -> int:
    """Return the memory that all members need in one process, in MB, estimated from their sizes."""
    peak = float(BASE_MB)
    for manifest in manifests:
        size = sum(entry.size for entry in manifest.files if entry.role in ("graph", "weights"))
        form = manifest.plan.weight_form
        peak += size / 2**20 * COPIES["packed" if form == "borrowed" else form]
    need = math.ceil((peak * HEADROOM + HANDLER_MB) / MEMORY_STEP_MB) * MEMORY_STEP_MB
    return max(need, LEAST_MB)


def _found(spec: ModelSpec, members: Members) -> dict[str, MemberVersion]:
    versions: dict[str, str | None] = {}
    for step in spec.steps:
        for reference in step.references():
            name, _, version = reference.partition("@")
            if versions.setdefault(name, version or None) != (version or None):
                raise RefusedError(f"step {step.name!r}: {name} is wanted in two versions")
    found = {name: members.find(name, versions[name]) for name in sorted(versions)}
    for name, member in found.items():
        if not member.manifest.has_graph:
            raise RefusedError(
                f"{name} is of platform {member.manifest.platform!r}, and only graphs are made into pipelines"
            )
        if find_spec(f"functions.{module_name(name)}") and find_spec(f"functions.{module_name(name)}.model"):
            raise RefusedError(
                f"{name} has code of its own around its graph, functions/{module_name(name)}/model.py, "
                "which a pipeline would not run",
                advice="Publish the bare graph under another name; the pipeline does what the code does.",
            )
    return found


def _manifest(
    name: str,
    spec: ModelSpec,
    found: Mapping[str, MemberVersion],
    files: Sequence[LocalFile],
    provenance: Provenance,
    *,
    golden: Golden | None = None,
    version: str | None = None,
) -> Manifest:
    plan = spec.plan.declared()
    least = fused_memory_mb(member.manifest for member in found.values())
    if plan.memory_mb is not None and plan.memory_mb < least:
        raise RefusedError(
            f"model.yaml fixes {plan.memory_mb:,} MB, but the members fused need {least:,} MB by their sizes"
        )
    manifest = Manifest(
        format=FORMAT,
        name=name,
        inputs=tuple(tensor.declared() for tensor in spec.inputs),
        outputs=tuple(tensor.declared() for tensor in spec.outputs),
        files=tuple(file.entry for file in files),
        version=version,
        task=spec.task,
        producer=f"hotplate {hotplate.__version__}",
        platform=PIPELINE_PLATFORM,
        labels=dict(spec.labels),
        golden=golden,
        pipeline=Pipeline(
            members=tuple(_member(found[each]) for each in sorted(found)),
            steps=tuple(_step(step) for step in spec.steps),
            results=dict(spec.results),
        ),
        plan=msgspec.structs.replace(plan, memory_mb=plan.memory_mb or least),
        provenance=provenance,
    )
    try:
        return decode(encode(manifest))
    except ManifestError as fault:
        raise RefusedError(str(fault)) from fault


def _member(found: MemberVersion) -> Member:
    manifest = found.manifest
    return Member(manifest.name, found.version, found.sha256, manifest.inputs, manifest.outputs)


def _step(spec: StepSpec) -> Step:
    return Step(
        name=spec.name,
        inputs=dict(spec.inputs),
        model=spec.model and _name(spec.model),
        ensemble=tuple(map(_name, spec.ensemble)),
        combine=spec.combine,
        switch={value: _name(reference) for value, reference in spec.switch.items()},
        by=spec.by,
        otherwise=spec.otherwise and _name(spec.otherwise),
        code=spec.code,
        outputs=spec.outputs,
    )


def _name(reference: str) -> str:
    return reference.partition("@")[0]


def _make(name: str) -> MakeCode | None:
    wanted = f"functions.{module_name(name)}.model"
    try:
        module = importlib.import_module(wanted)
    except ModuleNotFoundError as fault:
        if fault.name and (wanted == fault.name or wanted.startswith(f"{fault.name}.")):
            return None
        raise
    if not callable(getattr(module, "steps", None)):
        raise RefusedError(f"{wanted} has no function steps(assets)")
    make: MakeCode = module.steps
    return make


def _replay(
    predictor: Steps, manifest: Manifest, rows: Sequence[Mapping[str, Mapping[str, object]]], golden: Golden
) -> None:
    wanted = [spec.name for spec in manifest.outputs]
    for number, row in enumerate(rows, start=1):
        place = f"golden row {number}"
        feeds = row_feeds(row["inputs"], manifest.inputs, place)
        try:
            results = predictor.run(feeds, wanted)
        except HotplateError as fault:
            why = f": {fault.__cause__}" if fault.__cause__ else ""
            raise RefusedError(f"{place}: {fault}{why}") from fault
        refuse_difference(row["outputs"], results, manifest.outputs, golden, place)
