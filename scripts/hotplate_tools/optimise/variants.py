"""Smaller variants of a graph: made, held to a budget of quality, and the smallest one chosen.

Rules kept:

1. A variant is a graph of its own. It is checked like any other, and becomes the source of the form
   step: `forms` then holds its optimised form to the variant's answers, which are not the float graph's.
2. What stands between the float graph and the variant is quality on the owner's rows, measured on the
   form that would be served. A variant that loses more than the budget is dropped, with its figures.
3. Of those that pass, the one with the fewest bytes to fetch is taken; of equals, the one that loses
   least. No time is looked at: the same input gives the same version on every run (docs/adr/0010).
4. If none passes, the float form is published and the publisher is told why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hotplate.errors import GraphError, InferenceError
from hotplate.manifest.schema import Considered, Plan, Variant
from hotplate_tools.failures import FailedError, RefusedError, ToolError
from hotplate_tools.optimise.forms import Candidate, Served, open_session, optimise
from hotplate_tools.optimise.quality import largest_difference, quality, yardsticks
from hotplate_tools.optimise.quantised import quantised
from hotplate_tools.planning.describe import operator_types
from hotplate_tools.planning.weights import choose_prepacking, megabytes, must_prepack
from hotplate_tools.publish.graph import inspect_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hotplate.manifest.schema import VariantKind
    from hotplate.runtime.model import Transforms
    from hotplate.runtime.session import Session
    from hotplate_tools.console import Console
    from hotplate_tools.optimise.evaluation import Evaluation
    from hotplate_tools.optimise.quality import Yardstick
    from hotplate_tools.publish.graph import Graph

__all__ = ["KINDS", "MAX_LOSS", "Choice", "Tried", "VariantOptions", "choose_variant", "smallest_first"]

KINDS: tuple[VariantKind, ...] = ("int8", "fp16", "int4")

# Loss that is allowed where the publisher names none: one row in a hundred. Ours.
MAX_LOSS = 0.01

# One row of so few is more than one hundredth of the quality.
FEW_ROWS = 100

type Answers = list[Mapping[str, np.ndarray[Any, Any]]]


@dataclass(frozen=True, slots=True)
class VariantOptions:
    """What the publisher asked for.

    Attributes:
        kinds: Which variants to consider.
        budget: Most that one may lose.
        program: Another quantiser, for tests of the gate.
    """

    kinds: tuple[VariantKind, ...]
    budget: float = MAX_LOSS
    program: Path | None = None


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


def choose_variant(
    source: Path,
    graph: Graph,
    served: Served,
    owner: Plan,
    evaluation: Evaluation,
    options: VariantOptions,
    *,
    fixed_form: str | None,
    transforms: Transforms | None,
    holds: Callable[[Session], object],
    console: Console,
) -> Choice:
    """Return the variant to publish instead of the float form, if one passes.

    Args:
        source: The float ONNX file.
        graph: The same, checked.
        served: Its form.
        owner: What model.yaml fixed.
        evaluation: The owner's rows.
        options: What to consider, and the budget.
        fixed_form: The weight form that model.yaml fixed, or None.
        transforms: Around the graph.
        holds: Raises `RefusedError` if a session does not answer the golden rows.
        console: Told while it is done.

    Raises:
        RefusedError: The float form does not answer the rows, or they do not fit it.
        FailedError: The quantiser's environment cannot be made.
        OSError: The cache folder cannot be written.
    """
    reference, raw = _answers(served.session, evaluation, transforms)
    rules = yardsticks(evaluation, reference)
    float_quality = {rule.output: quality(rule, reference) for rule in rules}
    float_bytes = (served.native or served.portable).size
    verdicts: dict[VariantKind, Considered] = {}
    tried: list[Tried] = []
    files = quantised(options.kinds, source, graph, evaluation, console, program=options.program)
    for kind in options.kinds:
        try:
            form = _form(kind, files[kind], graph, owner, fixed_form)
            answers, raw_answers = _answers(form.session, evaluation, transforms)
            form = _named(kind, form, largest_difference(raw, raw_answers))
            tried.append(_measured(kind, form, rules, float_quality, answers))
        except (ToolError, GraphError, InferenceError) as fault:
            verdicts[kind] = Considered(f"dropped: {fault}")
    taken: Tried | None = None
    for one in smallest_first(tried):
        verdict = _verdict(one, options.budget, float_bytes, taken)
        if verdict is None:
            try:
                holds(one.served.session)
                taken, verdict = one, "taken"
            except RefusedError as fault:
                verdict = f"dropped: {fault}"
        verdicts[one.kind] = Considered(verdict, one.quality, one.loss, one.size)
    considered = {kind: verdicts[kind] for kind in options.kinds}
    record = _record(taken, considered, float_quality, float_bytes, options.budget, evaluation)
    return Choice(
        taken=taken,
        record=record,
        considered=considered,
        float_quality={rule.output: (rule.metric, float_quality[rule.output]) for rule in rules},
        float_bytes=float_bytes,
        rows=evaluation.rows,
        title=evaluation.title,
        others=_others(served, tried, taken),
        notes=_notes(taken, considered, options.budget, evaluation),
    )


def smallest_first(tried: Sequence[Tried]) -> list[Tried]:
    """Return variants in the order in which they are offered the place of the float form."""
    return sorted(tried, key=lambda one: (one.size, one.loss, KINDS.index(one.kind)))


def _form(
    kind: VariantKind, file: Path | ToolError, graph: Graph, owner: Plan, fixed_form: str | None
) -> Served:
    if isinstance(file, ToolError):
        raise file
    if kind == "fp16" and fixed_form not in (None, "source"):
        raise RefusedError(
            f"model.yaml fixes the {fixed_form} form, which would store its weights whole again"
        )
    made = inspect_graph(file)
    if (made.inputs, made.outputs) != (graph.inputs, graph.outputs):
        raise FailedError("its signature is not the float graph's")
    operators = operator_types(made.body)
    if owner.prepacking == "off" and must_prepack(operators):
        raise RefusedError("model.yaml fixes `prepacking: off`, with which it would be forty times slower")
    if kind == "fp16":
        # Optimised beforehand, its casts would be worked out and the weights stored whole again.
        fixed_form = "source"
    if fixed_form == "source" and owner.prepacking == "on":
        rule = choose_prepacking(operators, Candidate("source", made.body, made.weights, "all", "on").size)
        owner = msgspec.structs.replace(owner, prepacking=rule.value)
    session = open_session(
        Candidate("source", made.body, made.weights, "all", owner.prepacking), owner.intra_op_threads or 1
    )
    return optimise(file, made, session, owner, fixed_form=fixed_form)


def _answers(
    session: Session, evaluation: Evaluation, transforms: Transforms | None
) -> tuple[Answers, Answers]:
    """Return the answers as callers see them, and the graph's own."""
    raw: Answers = []
    try:
        raw.extend(session.run(call.feeds, session.output_names) for call in evaluation.calls)
    except InferenceError as fault:
        raise RefusedError(f"evaluation rows {evaluation.title}: {fault}") from fault
    if transforms is None:
        return raw, raw
    return [transforms.postprocess(results) for results in raw], raw


def _named(kind: VariantKind, served: Served, difference: float) -> Served:
    def named(candidate: Candidate) -> Candidate:
        return replace(candidate, name=f"{kind}-{candidate.name}", difference=difference)

    native = named(served.native) if served.native else None
    return replace(served, portable=named(served.portable), native=native)


def _measured(
    kind: VariantKind,
    served: Served,
    rules: Sequence[Yardstick],
    float_quality: Mapping[str, float],
    answers: Answers,
) -> Tried:
    found = [(rule, quality(rule, answers)) for rule in rules]
    # Of several outputs the one that lost most counts.
    worst, value = max(found, key=lambda pair: float_quality[pair[0].output] - pair[1])
    return Tried(kind, served, worst, value, round(float_quality[worst.output] - value, 6))


def _verdict(one: Tried, budget: float, float_bytes: int, taken: Tried | None) -> str | None:
    """Return why a variant is not taken, or None."""
    if one.loss > budget:
        return f"dropped: loses {one.loss:.6g} of {one.yardstick.metric}, allowed is {budget:.6g}"
    if one.size >= float_bytes:
        return f"not smaller than the float form, {megabytes(float_bytes)}"
    return f"passed, but {taken.kind} is smaller" if taken else None


def _record(
    taken: Tried | None,
    considered: dict[VariantKind, Considered],
    float_quality: Mapping[str, float],
    float_bytes: int,
    budget: float,
    evaluation: Evaluation,
) -> Variant | None:
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


def _others(served: Served, tried: Sequence[Tried], taken: Tried | None) -> tuple[Candidate, ...]:
    forms = [*([served] if taken else []), *(one.served for one in tried if one is not taken)]
    # Of forms as given the float one is the source, which is measured anyway.
    return tuple(
        candidate
        for form in forms
        for candidate in (form.portable, form.native)
        if candidate and candidate.name != "source"
    )


def _notes(
    taken: Tried | None,
    considered: Mapping[VariantKind, Considered],
    budget: float,
    evaluation: Evaluation,
) -> tuple[str, ...]:
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
