"""The user's rows as each candidate takes them, and how good its answers to them are.

Rules kept:

1. One file for all candidates. Of an `.npz` each takes the arrays that it declares, so the same rows may
   be there under several names and in several shapes, for candidates that do not agree on them.
2. Rows are asked through the function's own steps, by the form that this machine would serve.
3. Without expected answers there is nothing to rank by: agreement with oneself is always perfect.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.protocol.types import alternatives
from hotplate_tools.convert.rows import EXPECTED, read_arrays
from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.evaluation import read_evaluation
from hotplate_tools.optimise.forms import open_session
from hotplate_tools.optimise.quality import quality, yardsticks
from hotplate_tools.publish.build import load_transforms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hotplate.manifest.schema import Manifest
    from hotplate_tools.choose.candidates import Contender

__all__ = ["Judged", "Rows", "judged", "read_rows"]


@dataclass(frozen=True, slots=True)
class Rows:
    """The user's rows.

    Attributes:
        file: Where they are.
        arrays: Of an `.npz`, by name; None for golden rows.
    """

    file: Path
    arrays: Mapping[str, np.ndarray[Any, Any]] | None

    def taken_by(self, manifest: Manifest) -> set[str]:
        """Return the arrays that a version declares."""
        names = {spec.name for spec in manifest.inputs} | {
            f"{EXPECTED}{spec.name}" for spec in manifest.outputs
        }
        return names & set(self.arrays or ())

    def written_for(self, manifest: Manifest, folder: Path) -> Path:
        """Return a file of the rows that a version takes.

        Raises:
            RefusedError: An input is not among them.
        """
        if self.arrays is None:
            return self.file
        taken = self.taken_by(manifest)
        groups = alternatives(manifest.inputs).values()
        wanted = [
            *([spec] for spec in manifest.inputs if not (spec.one_of or spec.optional)),
            *([spec for form in group.values() for spec in form] for group in groups),
        ]
        for specs in wanted:
            if not any(spec.name in taken for spec in specs):
                text = " or ".join(f"{spec.name!r} {spec.datatype} {list(spec.shape)}" for spec in specs)
                raise RefusedError(f"takes {text}; the rows hold {', '.join(sorted(self.arrays))}")
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {name: self.arrays[name] for name in sorted(taken)}
        np.savez(folder / self.file.name, **arrays)
        return folder / self.file.name


@dataclass(frozen=True, slots=True)
class Judged:
    """How good a candidate's answers are.

    Attributes:
        metric, output: By which, of which output; see `optimise.quality`.
        quality: 1 is best.
        rows: On how many rows.
    """

    metric: str
    output: str
    quality: float
    rows: int


def read_rows(file: Path) -> Rows:
    """Return the user's rows.

    Raises:
        RefusedError: It is no such file, or holds no expected answers.
    """
    if file.suffix == ".jsonl":
        return Rows(file, None)
    if file.suffix != ".npz":
        raise RefusedError(f"rows {file.name}: neither .npz nor .jsonl")
    arrays = read_arrays(file)
    if not any(name.startswith(EXPECTED) for name in arrays):
        raise RefusedError(
            f"rows {file.name} hold {', '.join(sorted(arrays))}, and no expected answers to rank by",
            advice=f"Add {EXPECTED}<output>: the right classes, or targets as floats.",
        )
    return Rows(file, arrays)


def judged(contender: Contender, rows: Path, output: str | None) -> Judged:
    """Return how good a candidate's answers are.

    Args:
        contender: Which.
        rows: As it takes them.
        output: Measured on this one; None where the rows have expected answers for just one.

    Raises:
        RefusedError: The rows do not fit, or say nothing, or too much, about its outputs.
        RequestError: Its own steps refuse a row.
        HotplateError: It does not load, or fails on the rows.
    """
    manifest = contender.manifest
    evaluation = read_evaluation(rows, manifest.inputs, manifest.outputs, None)
    assets = {name: path.read_bytes() for name, path in contender.assets.items()}
    transforms = load_transforms(manifest.name, assets)
    session = open_session(contender.form, manifest.plan.intra_op_threads or 1)
    answers: list[Mapping[str, Any]] = [
        transforms.apply(call.feeds, session.run_all) if transforms else session.run_all(call.feeds)
        for call in evaluation.calls
    ]
    rules = {rule.output: rule for rule in yardsticks(evaluation, answers) if rule.reference == "expected"}
    with suppress(ValueError):
        (only,) = rules.values() if output is None else [rules[output]] if output in rules else []
        return Judged(only.metric, only.output, quality(only, answers), evaluation.rows)
    names = ", ".join(spec.name for spec in manifest.outputs)
    if rules and output is None:
        raise RefusedError(f"the rows have expected answers for {', '.join(rules)}: say --output")
    raise RefusedError(f"the rows have no expected answers for {output or names}; its outputs: {names}")
