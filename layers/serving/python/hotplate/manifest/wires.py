"""The rules of a pipeline: what a manifest must hold for every step to get what it takes.

1. A source names an input of the pipeline or an output of an earlier step, so there is no cycle.
2. Every input of a member is wired, and nothing else is; a wire that joins two declared tensors joins the
   same datatype, rank and fixed dimensions.
3. Members that stand in for each other (of an ensemble, of a switch) have the same signature.
4. Every member is used, every output of the pipeline has a source, and every step is wired to something.

What code returns is not declared, so wires from it are checked when they carry something
(`hotplate.runtime.pipeline`); golden rows carry something through all of them before a version is published.

Read by pipelines' functions and by the publisher only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate.errors import ManifestError
from hotplate.manifest.steps import INPUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.manifest.steps import Member, Pipeline, Step
    from hotplate.protocol.types import MetadataTensor

    # By source; None where code makes it, so that nothing is declared.
    type Known = dict[str, MetadataTensor | None]

__all__ = ["check_wires"]


def check_wires(
    pipeline: Pipeline, inputs: Sequence[MetadataTensor], outputs: Sequence[MetadataTensor]
) -> None:
    """Check a pipeline against the rules above.

    Args:
        pipeline: Of the manifest.
        inputs: The pipeline's own.
        outputs: Likewise.

    Raises:
        ManifestError: Naming the step at fault.
    """
    members = {member.name: member for member in pipeline.members}
    if [member.name for member in pipeline.members] != sorted(members):
        raise ManifestError("members of a pipeline are sorted by name, each there once")
    known: Known = {f"{INPUT}.{spec.name}": spec for spec in inputs}
    uncertain = {f"{INPUT}.{spec.name}" for spec in inputs if spec.optional or spec.one_of}
    later = [step.name for step in pipeline.steps]
    for step in pipeline.steps:
        if step.name == INPUT or later.count(step.name) > 1:
            raise ManifestError(f"step {step.name!r}: the name is taken")
        _check_kind(step)
        for source in (*step.inputs.values(), *([step.by] if step.by else [])):
            _refuse_unknown(source, known, later, f"step {step.name!r}")
        if step.code:
            known |= {f"{step.name}.{name}": None for name in step.outputs}
            continue
        _check_members(step, members, known, uncertain)
        known |= {f"{step.name}.{spec.name}": spec for spec in members[step.members[0]].outputs}
    _check_results(pipeline, outputs, known, later)
    _check_combined(pipeline, members)
    used = {name for step in pipeline.steps for name in step.members}
    if idle := sorted(set(members) - used):
        raise ManifestError(f"member {idle[0]!r} of the pipeline is in no step")


def _check_kind(step: Step) -> None:
    kinds = {
        "model": step.model,
        "ensemble": step.ensemble,
        "switch": step.switch,
        "code": step.code,
    }
    said = [kind for kind, value in kinds.items() if value]
    what = f"step {step.name!r}"
    if len(said) != 1:
        raise ManifestError(f"{what}: exactly one of {', '.join(kinds)} was expected, got {said or 'none'}")
    (kind,) = said
    belongs = {
        "combine": ("ensemble", step.combine is not None),
        "by": ("switch", step.by is not None),
        "outputs": ("code", bool(step.outputs)),
    }
    for word, (owner, is_there) in belongs.items():
        if is_there != (kind == owner):
            raise ManifestError(f"{what}: `{word}` goes with `{owner}`, and `{owner}` with it")
    if step.otherwise and kind != "switch":
        raise ManifestError(f"{what}: `otherwise` goes with `switch`")
    if not step.inputs:
        raise ManifestError(f"{what}: no inputs")
    if kind == "ensemble" and len(set(step.ensemble)) != len(step.ensemble):
        raise ManifestError(f"{what}: a model is in the ensemble twice")
    if len(set(step.outputs)) != len(step.outputs):
        raise ManifestError(f"{what}: an output is there twice")


def _refuse_unknown(source: str, known: Known, later: Sequence[str], what: str) -> None:
    if source in known:
        return
    owner = source.partition(".")[0]
    why = "comes later, or is this one" if owner in later and not _has_step(known, owner) else "is not there"
    raise ManifestError(f"{what}: source {source!r} {why}; there is {', '.join(map(repr, known))}")


def _has_step(known: Known, owner: str) -> bool:
    return any(source.startswith(f"{owner}.") for source in known)


def _check_members(step: Step, members: Mapping[str, Member], known: Known, uncertain: set[str]) -> None:
    what = f"step {step.name!r}"
    for name in step.members:
        if name not in members:
            raise ManifestError(f"{what}: {name!r} is no member of the pipeline")
    first = members[step.members[0]]
    for name in step.members[1:]:
        if _form(members[name]) != _form(first):
            raise ManifestError(f"{what}: {name} and {first.name} take or give other tensors")
    if set(step.inputs) != {spec.name for spec in first.inputs}:
        raise ManifestError(
            f"{what}: {first.name} takes {sorted(spec.name for spec in first.inputs)}, "
            f"wired are {sorted(step.inputs)}"
        )
    for spec in first.inputs:
        source = step.inputs[spec.name]
        if source in uncertain:
            raise ManifestError(f"{what}: {source!r} may be left out by callers, and {first.name} needs it")
        _refuse_misfit(known[source], spec, f"{what}, input {spec.name!r}", source)
    if step.by and (chooser := known[step.by]) and chooser.datatype.startswith("FP"):
        raise ManifestError(f"{what}: {step.by!r} is {chooser.datatype}; a switch goes by whole values")


def _check_combined(pipeline: Pipeline, members: Mapping[str, Member]) -> None:
    """Check that every step gives something that is taken, and that what is combined can be."""
    wires = [source for step in pipeline.steps for source in (*step.inputs.values(), step.by or "")]
    taken = {source.partition(".")[::2] for source in (*wires, *pipeline.results.values())}
    for step in pipeline.steps:
        what, outputs = f"step {step.name!r}", {name for owner, name in taken if owner == step.name}
        if not outputs:
            raise ManifestError(f"{what}: nothing takes what it gives")
        for spec in members[step.members[0]].outputs if step.combine else ():
            is_number = spec.datatype.startswith("FP")
            if spec.name in outputs and is_number != (step.combine == "mean"):
                raise ManifestError(
                    f"{what}: {spec.name!r} is {spec.datatype}; a mean is of FP numbers, a vote of others"
                )


def _check_results(
    pipeline: Pipeline, outputs: Sequence[MetadataTensor], known: Known, later: Sequence[str]
) -> None:
    if set(pipeline.results) != {spec.name for spec in outputs}:
        raise ManifestError(
            f"results of a pipeline are its outputs: expected {sorted(spec.name for spec in outputs)}, "
            f"got {sorted(pipeline.results)}"
        )
    for spec in outputs:
        source = pipeline.results[spec.name]
        _refuse_unknown(source, known, later, f"result {spec.name!r}")
        _refuse_misfit(known[source], spec, f"result {spec.name!r}", source)


def _refuse_misfit(given: MetadataTensor | None, wanted: MetadataTensor, what: str, source: str) -> None:
    if given is None:
        return
    fits = len(given.shape) == len(wanted.shape) and all(
        one == other or -1 in (one, other) for one, other in zip(given.shape, wanted.shape, strict=True)
    )
    if given.datatype != wanted.datatype or not fits:
        raise ManifestError(
            f"{what}: expected {wanted.datatype} {list(wanted.shape)}, "
            f"but {source!r} is {given.datatype} {list(given.shape)}"
        )


def _form(member: Member) -> tuple[list[tuple[str, str, tuple[int, ...]]], ...]:
    return tuple(
        sorted((spec.name, spec.datatype, spec.shape) for spec in specs)
        for specs in (member.inputs, member.outputs)
    )
