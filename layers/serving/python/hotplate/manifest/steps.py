"""What a pipeline is made of: its members, pinned, and its steps. Records only; `wires` has the rules.

Where a step's input comes from is one word, a source: `input.NAME` is an input of the pipeline, `STEP.NAME`
an output of a step before.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from hotplate.manifest.record import ModelName, Record, Sha256
from hotplate.protocol.types import MetadataTensor

__all__ = ["INPUT", "Combine", "Member", "Pipeline", "Step", "StepName"]

# The word before the dot that means the pipeline's own inputs.
INPUT = "input"

StepName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}\Z")]
Combine = Literal["mean", "vote"]


class Member(Record, frozen=True):
    """A version of another model that a pipeline runs.

    Attributes:
        name, version, manifest_sha256: Which; the digest pins every byte of it.
        inputs, outputs: Its signature, copied, so that a pipeline that runs across functions can tell what
            fits without reading the member's manifest.
    """

    name: ModelName
    version: str
    manifest_sha256: Sha256
    inputs: tuple[MetadataTensor, ...]
    outputs: tuple[MetadataTensor, ...]


class Step(Record, frozen=True):
    """One step: exactly one of `model`, `ensemble`, `switch` and `code` says what runs.

    Attributes:
        name: For sources.
        inputs: Source by input name, of the members or of the code.
        model: A member.
        ensemble: Members that all run on the same inputs.
        combine: Their answers become one by `mean` (of numbers) or by `vote` (the most frequent element; of
            equally frequent ones that of the earliest member).
        switch: Member by the value, as text, of the one element of `by`: that member alone runs.
        by: Source of that element.
        otherwise: Member for any other value; None makes any other value an error.
        code: A function of the pipeline's own code.
        outputs: What the code returns; members declare theirs.
    """

    name: StepName
    inputs: dict[str, str]
    model: ModelName | None = None
    ensemble: tuple[ModelName, ...] = ()
    combine: Combine | None = None
    switch: dict[str, ModelName] = msgspec.field(default_factory=dict)
    by: str | None = None
    otherwise: ModelName | None = None
    code: str | None = None
    outputs: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members that may run, each once."""
        named = (self.model, *self.ensemble, *self.switch.values(), self.otherwise)
        return tuple(dict.fromkeys(name for name in named if name is not None))


class Pipeline(Record, frozen=True):
    """A model made of models.

    Attributes:
        members: Sorted by name.
        steps: In the order they run.
        results: Source by output of the pipeline.
    """

    members: Annotated[tuple[Member, ...], msgspec.Meta(min_length=1)]
    steps: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1)]
    results: dict[str, str]
