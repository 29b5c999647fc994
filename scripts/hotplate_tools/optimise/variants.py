"""Smaller variants of a graph: made, held to a budget of quality, and one chosen by `choice`.

Rules kept:

1. A variant is a graph of its own. It is checked like any other, and becomes the source of the form
   step: `forms` then holds its optimised form to the variant's answers, which are not the float graph's.
2. What stands between the float graph and the variant is quality on the owner's rows, measured on the
   form that would be served; and golden rows, whose labels must not change.
3. If none passes, the float form is published and the publisher is told why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hotplate.errors import GraphError, InferenceError
from hotplate.manifest.schema import Considered, Plan
from hotplate_tools.failures import FailedError, RefusedError, ToolError
from hotplate_tools.optimise.choice import (
    Choice,
    Tried,
    notes_of,
    others_of,
    record_of,
    smallest_first,
    why_not,
)
from hotplate_tools.optimise.forms import Candidate, Served, open_session, optimise
from hotplate_tools.optimise.quality import largest_difference, quality, yardsticks
from hotplate_tools.optimise.quantised import quantised
from hotplate_tools.planning.describe import operator_types
from hotplate_tools.planning.weights import choose_prepacking, must_prepack
from hotplate_tools.publish.graph import inspect_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hotplate.manifest.schema import Plan, VariantKind
    from hotplate.runtime.session import Session
    from hotplate.runtime.transforms import Transforms
    from hotplate_tools.console import Console
    from hotplate_tools.optimise.choice import VariantOptions
    from hotplate_tools.optimise.evaluation import Evaluation
    from hotplate_tools.optimise.quality import Yardstick
    from hotplate_tools.publish.graph import Graph

__all__ = ["choose_variant"]

type Answers = list[Mapping[str, np.ndarray[Any, Any]]]


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
    files = quantised(options.kinds, source, graph, evaluation, console, program=options.program)
    verdicts: dict[VariantKind, Considered] = {}
    tried: list[Tried] = []
    for kind in options.kinds:
        try:
            form = _form(kind, files[kind], graph, owner, fixed_form)
            answers, raw_answers = _answers(form.session, evaluation, transforms)
            form = _named(kind, form, largest_difference(raw, raw_answers))
            tried.append(_measured(kind, form, rules, float_quality, answers))
        except (ToolError, GraphError, InferenceError) as fault:
            verdicts[kind] = Considered(f"dropped: {fault}")
    taken, judged = _taken(tried, options.budget, float_bytes, holds)
    considered = {kind: (verdicts | judged)[kind] for kind in options.kinds}
    return Choice(
        taken=taken,
        record=record_of(taken, considered, float_quality, float_bytes, options.budget, evaluation),
        considered=considered,
        float_quality={rule.output: (rule.metric, float_quality[rule.output]) for rule in rules},
        float_bytes=float_bytes,
        rows=evaluation.rows,
        title=evaluation.title,
        others=others_of(served, tried, taken),
        notes=notes_of(taken, considered, options.budget, evaluation),
    )


def _taken(
    tried: Sequence[Tried], budget: float, float_bytes: int, holds: Callable[[Session], object]
) -> tuple[Tried | None, dict[VariantKind, Considered]]:
    """Return the first that passes everything, and what is said of each."""
    taken: Tried | None = None
    judged: dict[VariantKind, Considered] = {}
    for one in smallest_first(tried):
        verdict = why_not(one, budget, float_bytes, taken)
        if verdict is None:
            try:
                holds(one.served.session)
                taken, verdict = one, "taken"
            except RefusedError as fault:
                verdict = f"dropped: {fault}"
        judged[one.kind] = Considered(verdict, one.quality, one.loss, one.size)
    return taken, judged


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
