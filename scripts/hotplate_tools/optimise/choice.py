"""Which variant takes the place of the float form, and what is said of it.

Rules kept:

1. A variant that loses more than the budget is dropped, with its figures; so is one that is not smaller.
2. Of those that pass, the one with the fewest bytes to fetch is taken; of equals, the one that loses
   least. No time is looked at: the same input gives the same version on every run (docs/adr/0010).

Pure: no file, no process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.manifest.schema import Variant
from hotplate_tools.planning.weights import megabytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hotplate.manifest.schema import Considered, VariantKind
    from hotplate_tools.optimise.evaluation import Evaluation
    from hotplate_tools.optimise.forms import Candidate, Served
    from hotplate_tools.optimise.quality import Yardstick

__all__ = [
    "KINDS",
    "MAX_LOSS",
    "Choice",
    "Tried",
    "VariantOptions",
    "notes_of",
    "others_of",
    "record_of",
    "smallest_first",
    "why_not",
]

KINDS: tuple[VariantKind, ...] = ("int8", "fp16", "int4")

# Loss that is allowed where the publisher names none: one row in a hundred. Ours.
MAX_LOSS = 0.01

# One row of so few is more than one hundredth of the quality.
FEW_ROWS = 100


@dataclass(frozen=True, slots=True)
class VariantOptions:
    """What the publisher asked for.

    Attributes:
        kinds: Which variants to consider.
        budget: Most that one may lose.
        program: Another quantiser, for tests of the gate.
        rows: Evaluation rows for variants alone; None takes those of the conversion, or of model.yaml.
    """

    kinds: tuple[VariantKind, ...]
    budget: float = MAX_LOSS
    program: Path | None = None
    rows: Path | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """A variant that was made and answers.

    Attributes:
        kind: Which.
        served: Its form.
        yardstick: Of the output that lost most.
        quality, loss: On that output.
    """

    kind: VariantKind
    served: Served
    yardstick: Yardstick
    quality: float
    loss: float

    @property
    def size(self) -> int:
        """Bytes that a cold start fetches."""
        return (self.served.native or self.served.portable).size


@dataclass(frozen=True, slots=True)
class Choice:
    """What came of it.

    Attributes:
        taken: None where the float form is published.
        record: For the manifest; None likewise.
        considered: Everything that was asked for, in that order.
        float_quality, float_bytes: By the yardsticks, of the float form.
        rows, title: What quality was measured on.
        others: Forms that are measured beside the published one.
        notes: What the publisher should know.
    """

    taken: Tried | None
    record: Variant | None
    considered: dict[VariantKind, Considered]
    float_quality: dict[str, tuple[str, float]]
    float_bytes: int
    rows: int
    title: str
    others: tuple[Candidate, ...]
    notes: tuple[str, ...]


def smallest_first(tried: Sequence[Tried]) -> list[Tried]:
    """Return variants in the order in which they are offered the place of the float form."""
    return sorted(tried, key=lambda one: (one.size, one.loss, KINDS.index(one.kind)))


def why_not(one: Tried, budget: float, float_bytes: int, taken: Tried | None) -> str | None:
    """Return why a variant is not taken, or None.

    Args:
        one: The variant.
        budget: Most that it may lose.
        float_bytes: What a cold start fetches of the float form.
        taken: A smaller one that was taken already, or None.
    """
    if one.loss > budget:
        return f"dropped: loses {one.loss:.6g} of {one.yardstick.metric}, allowed is {budget:.6g}"
    if one.size >= float_bytes:
        return f"not smaller than the float form, {megabytes(float_bytes)}"
    return f"passed, but {taken.kind} is smaller" if taken else None


def record_of(
    taken: Tried | None,
    considered: dict[VariantKind, Considered],
    float_quality: Mapping[str, float],
    float_bytes: int,
    budget: float,
    evaluation: Evaluation,
) -> Variant | None:
    """Return what the manifest says of the variant that was taken, or None."""
    if taken is None:
        return None
    rule = taken.yardstick
    return Variant(
        kind=taken.kind,
        metric=rule.metric,
        output=rule.output,
        reference=rule.reference,
        quality=taken.quality,
        float_quality=float_quality[rule.output],
        loss=taken.loss,
        budget=budget,
        rows=evaluation.rows,
        rows_sha256=evaluation.sha256,
        bytes=taken.size,
        float_bytes=float_bytes,
        considered=considered,
    )


def others_of(served: Served, tried: Sequence[Tried], taken: Tried | None) -> tuple[Candidate, ...]:
    """Return the forms that are measured beside the published one."""
    forms = [*([served] if taken else []), *(one.served for one in tried if one is not taken)]
    # Of forms as given the float one is the source, which is measured anyway.
    return tuple(
        candidate
        for form in forms
        for candidate in (form.portable, form.native)
        if candidate and candidate.name != "source"
    )


def notes_of(
    taken: Tried | None,
    considered: Mapping[VariantKind, Considered],
    budget: float,
    evaluation: Evaluation,
) -> tuple[str, ...]:
    """Return what the publisher should know."""
    notes = []
    if taken is None:
        reasons = "; ".join(f"{kind}: {one.verdict}" for kind, one in considered.items())
        notes.append(f"the float form is published, no variant passes a loss of {budget:.6g}: {reasons}")
    if evaluation.rows < FEW_ROWS:
        notes.append(
            f"quality was measured on {evaluation.rows} rows of {evaluation.title}; "
            f"a few hundred with expected answers say more"
        )
    return tuple(notes)
