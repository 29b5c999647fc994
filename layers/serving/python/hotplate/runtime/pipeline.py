"""A pipeline: models and code in steps, run one after another; where the models run is not known here.

    inputs ─ step ─ step ─ … ─ results         a step: one member, several combined, one of several, or code

Rules kept here:

1. A member is asked for the outputs that something is wired to, and for no other.
2. What goes into a member is held to its signature first, and what code returns to its declared names, so a
   pipeline fails in the same way wherever its members run.
3. A fault says which step it was. It is the caller's fault if the step's inputs are the caller's own, all of
   them, or if they are too many bytes; else ours.

Nothing but a pipeline's function and the publisher imports this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hotplate.errors import (
    HotplateError,
    InferenceError,
    ManifestError,
    PayloadTooLargeError,
    RequestError,
    StepError,
)
from hotplate.manifest.steps import INPUT
from hotplate.protocol.datatypes import from_name
from hotplate.runtime.model import Arrays, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from hotplate.manifest.schema import Manifest
    from hotplate.manifest.steps import Member, Pipeline, Step
    from hotplate.protocol.types import MetadataTensor
    from hotplate.runtime.fetched import Fetched
    from hotplate.runtime.ledger import Ledger
    from hotplate.runtime.model import Predictor
    from hotplate.settings import Settings

    type Array = np.ndarray[Any, Any]

__all__ = ["Code", "MakeCode", "Steps", "build_pipeline", "made_code", "pipeline_of"]

type Code = Callable[[Arrays], Arrays]
# A function's `steps`: the version's assets by path → its code steps by name.
type MakeCode = Callable[[Mapping[str, bytes]], Mapping[str, Code]]


def build_pipeline(
    fetched: Fetched,
    settings: Settings,
    ledger: Ledger,
    make: MakeCode | None,
    member: Callable[[Member], Predictor],
) -> Model:
    """Return the pipeline made of a verified version and of its members.

    Args:
        fetched: The version: its manifest and assets.
        settings: What is served.
        ledger: Gets the phases.
        make: The function's own code; None if no step is code.
        member: Returns what runs a member.

    Raises:
        StoreError, ArtifactError: A member cannot be had or trusted; or the version is no pipeline; or its
            code and its assets do not fit.
    """
    pipeline = pipeline_of(fetched.manifest)
    with ledger.phase("assets"):
        assets = {path: bytes(body) for path, body in fetched.of_role("asset").items()}
        code = made_code(fetched.manifest, assets, make)
    members = {each.name: member(each) for each in pipeline.members}
    return Model(fetched.manifest, settings.version, Steps(pipeline, members, code), ledger)


def pipeline_of(manifest: Manifest) -> Pipeline:
    """Return the steps of a manifest.

    Raises:
        ManifestError: It is no pipeline's.
    """
    if manifest.pipeline is None:
        raise ManifestError(f"{manifest.name} is of platform {manifest.platform!r}, not a pipeline")
    return manifest.pipeline


def made_code(manifest: Manifest, assets: Mapping[str, bytes], make: MakeCode | None) -> Mapping[str, Code]:
    """Return the code steps of a pipeline by name.

    Raises:
        ManifestError: The assets are not what the code needs, or it has no step of a name that is asked for.
    """
    try:
        code = make(assets) if make else {}
    except (LookupError, ValueError) as fault:
        raise ManifestError(
            f"the assets of {manifest.name!r} ({', '.join(sorted(assets)) or 'none'}) are not what its "
            f"function needs: {type(fault).__name__}: {fault}"
        ) from fault
    for step in pipeline_of(manifest).steps:
        if step.code and step.code not in code:
            raise ManifestError(
                f"step {step.name!r}: the code of {manifest.name!r} has no step {step.code!r}; "
                f"it has {', '.join(map(repr, sorted(code))) or 'none'}"
            )
    return code


class Steps:
    """A pipeline's predictor: the interpreter of its steps."""

    def __init__(
        self, pipeline: Pipeline, members: Mapping[str, Predictor], code: Mapping[str, Code]
    ) -> None:
        """Run the steps of `pipeline` with these members, by name, and this code, by name."""
        self._pipeline, self._members, self._code = pipeline, members, code
        self._signatures = {member.name: member for member in pipeline.members}
        self._asked = _asked(pipeline)

    def run(self, inputs: Arrays, wanted: Sequence[str]) -> Arrays:
        """Return all outputs; see `Predictor.run`.

        Raises:
            RequestError: The values are unfit, found by code or by a step that takes them as they came.
            StepError: A step failed.
        """
        values = {f"{INPUT}.{name}": array for name, array in inputs.items()}
        for step in self._pipeline.steps:
            try:
                results = self._step(step, values)
            except RequestError as fault:
                raise _callers(step, fault) from fault
            except StepError as fault:
                raise type(fault)(f"step {step.name!r}: {fault}") from fault
            except InferenceError as fault:
                raise StepError(f"step {step.name!r} failed") from fault
            values |= {f"{step.name}.{name}": array for name, array in results.items()}
        return {name: values[source] for name, source in self._pipeline.results.items()}

    def _step(self, step: Step, values: Mapping[str, Array]) -> Arrays:
        # Only a code step may be wired to an input that did not come.
        feeds = {name: values[source] for name, source in step.inputs.items() if source in values}
        if step.code:
            return _ran(self._code[step.code], feeds, step.outputs)
        if step.switch:
            return self._ask(_chosen(step, values), feeds, step)
        answers = [self._ask(name, feeds, step) for name in step.members]
        return _combined(step, answers) if step.ensemble else answers[0]

    def _ask(self, name: str, feeds: Arrays, step: Step) -> Arrays:
        for spec in self._signatures[name].inputs:
            _refuse_misfit(feeds[spec.name], spec, f"input {spec.name!r} of {name}")
        wanted = self._asked[step.name]
        results = self._members[name].run(feeds, wanted)
        return {output: np.asarray(results[output]) for output in wanted}


def _asked(pipeline: Pipeline) -> dict[str, list[str]]:
    """Return the outputs that something is wired to, by step."""
    sources = [source for step in pipeline.steps for source in (*step.inputs.values(), step.by or "")]
    taken = dict.fromkeys([*sources, *pipeline.results.values()])
    return {
        step.name: [source.partition(".")[2] for source in taken if source.partition(".")[0] == step.name]
        for step in pipeline.steps
    }


def _ran(code: Code, feeds: Arrays, outputs: Sequence[str]) -> Arrays:
    try:
        results = code(feeds)
    except HotplateError:
        raise
    except Exception as fault:  # any library's own
        raise StepError("its code failed") from fault
    if set(results) != set(outputs):
        raise StepError(f"its code returned {sorted(results)}, {sorted(outputs)} are declared")
    return results


def _chosen(step: Step, values: Mapping[str, Array]) -> str:
    value = values[step.by or ""]
    if value.size != 1:
        raise StepError(f"{step.by!r} has {value.size} elements, and a switch goes by one")
    text = _text(value.reshape(-1)[0])
    name = step.switch.get(text, step.otherwise)
    if name is None:
        raise RequestError(
            f"value of {step.by!r}",
            expected=f"one of {', '.join(map(repr, step.switch))}",
            received=repr(text),
        )
    return name


def _text(element: Any) -> str:
    """Return an element as `switch` writes it: text as it is, whole numbers in decimals, true and false."""
    if isinstance(element, bytes):
        return element.decode("utf-8", "replace")
    if isinstance(element, np.bool_):
        return "true" if element else "false"
    return str(int(element))


def _combined(step: Step, answers: Sequence[Arrays]) -> Arrays:
    combined = {}
    for name in answers[0]:
        parts = [answer[name] for answer in answers]
        if len({part.shape for part in parts}) != 1:
            shapes = ", ".join(str(list(part.shape)) for part in parts)
            raise StepError(f"its members answer {name!r} in other shapes: {shapes}")
        stack = np.stack(parts)  # (members, ...)
        combined[name] = _mean(stack) if step.combine == "mean" else _vote(stack)
    return combined


def _mean(stack: Array) -> Array:
    return np.mean(stack, axis=0, dtype=np.float64).astype(stack.dtype)


def _vote(stack: Array) -> Array:
    votes = np.sum(stack[:, None] == stack[None], axis=1)  # (members, ...)
    # The first of the largest: of equally frequent answers that of the earliest member.
    chosen: Array = np.take_along_axis(stack, votes.argmax(axis=0)[None], axis=0)[0]
    return chosen


def _refuse_misfit(array: Array, spec: MetadataTensor, what: str) -> None:
    fits = array.ndim == len(spec.shape) and all(
        declared in (-1, size) for declared, size in zip(spec.shape, array.shape, strict=True)
    )
    if array.dtype != from_name(spec.datatype).dtype or not fits:
        raise StepError(
            f"{what}: expected {spec.datatype} {list(spec.shape)}, got {array.dtype} {list(array.shape)}"
        )


def _callers(step: Step, fault: RequestError) -> HotplateError:
    """Return a request's fault: the caller's if all that the step took is the caller's own; else ours."""
    sources = (*step.inputs.values(), *([step.by] if step.by else []))
    if step.code:
        return fault
    if isinstance(fault, PayloadTooLargeError) or all(source.startswith(f"{INPUT}.") for source in sources):
        return type(fault)(
            f"step {step.name!r}, {fault.what}", expected=fault.expected, received=fault.received
        )
    return StepError(f"step {step.name!r}: what came from the steps before was refused by its model")
