"""The form in which a checked graph is published: optimised, with its weights inside or beside it.

Rules kept:

1. A form is served only if it answered seeded rows as the source graph does: bit for bit, or within
   `RTOL` and `ATOL` of the largest answer. Without such evidence the graph is published as given.
2. Which form is chosen from size and operators alone (`planning.weights`), never from a measurement.
3. Large files are made once and kept in the cache, named by everything that went into them.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnx

from hotplate.errors import GraphError, InferenceError
from hotplate.runtime.isa import this_isa
from hotplate.runtime.session import RUNTIME_VERSION, Session
from hotplate_tools.environments import cache_root
from hotplate_tools.failures import FailedError
from hotplate_tools.optimise.offline import is_native, optimise_file
from hotplate_tools.planning.describe import operator_types
from hotplate_tools.planning.weights import choose_form, choose_prepacking
from hotplate_tools.publish.arrays import difference
from hotplate_tools.publish.golden import GENERATED_SIZES, is_stable, seeded_feeds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from hotplate.manifest.schema import Plan, Prepacking
    from hotplate_tools.publish.graph import Graph

__all__ = ["Candidate", "Served", "open_session", "optimise"]

type Rows = list[tuple[dict[str, Any], Mapping[str, Any]]]

RTOL = 1e-4
ATOL = 1e-5  # of the largest answer, or of 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """One form on disk or in memory.

    Attributes:
        name: `source`, `inline`, `borrowed` or `native`.
        graph: The ONNX file's bytes.
        weights: Files by the name the graph knows them by.
        level: How far it is optimised at load.
        prepacking: As the plan says.
        difference: Largest absolute difference from the source's answers.
    """

    name: str
    graph: bytes
    weights: Mapping[str, Path]
    level: Literal["all", "none"]
    prepacking: Prepacking
    difference: float = 0.0

    @property
    def size(self) -> int:
        """Bytes that a cold start fetches."""
        return len(self.graph) + sum(file.stat().st_size for file in self.weights.values())


@dataclass(frozen=True, slots=True)
class Served:
    """What is published.

    Attributes:
        portable: For every processor.
        native: For `plan.isa` only; None where the portable form is as good.
        session: Of the portable form.
        plan: The owner's, completed.
        notes: Why an optimised form was not taken; for the publisher.
    """

    portable: Candidate
    native: Candidate | None
    session: Session
    plan: Plan
    notes: tuple[str, ...] = field(default=())


def optimise(source: Path, graph: Graph, session: Session, owner: Plan, *, fixed_form: str | None) -> Served:
    """Return the form to publish.

    Args:
        source: The ONNX file.
        graph: The same, checked.
        session: Of the source, on `owner`'s threads.
        owner: What model.yaml fixed.
        fixed_form: The form that model.yaml fixed, or None for the rules'.

    Raises:
        OSError: The temporary or cache folder cannot be written.
    """
    given = Candidate("source", graph.body, graph.weights, "all", owner.prepacking)
    whole = Served(given, None, session, msgspec.structs.replace(owner, weight_form="source"))
    form = fixed_form or choose_form(given.size).value
    if form == "source":
        return whole
    rows = _evidence(graph, session)
    if not rows:
        return whole
    prepacking = owner.prepacking
    if prepacking == "on":
        prepacking = choose_prepacking(operator_types(graph.body), given.size).value
    try:
        portable, native = _made(source, given, form, prepacking)
        threads = owner.intra_op_threads or 1
        portable, served = _accepted(portable, rows, threads)
        if native:
            native, _ = _accepted(native, rows, threads)
    except (FailedError, GraphError, InferenceError) as fault:
        note = f"published as given, not optimised: {fault}"
        return Served(given, None, session, whole.plan, (note,))
    plan = msgspec.structs.replace(
        owner,
        weight_form="borrowed" if portable.weights else "inline",
        prepacking=prepacking,
        load_level=portable.level,
        isa=this_isa() if native else None,
        native_onnxruntime=RUNTIME_VERSION if native else None,
    )
    return Served(portable, native, served, plan)


def open_session(candidate: Candidate, threads: int) -> Session:
    """Return a session over a form, its weights mapped.

    Raises:
        GraphError: ONNX Runtime does not load it.
    """
    return Session(
        candidate.graph,
        weights={name: _mapped(file) for name, file in candidate.weights.items()},
        threads=threads,
        prepacking=candidate.prepacking,
        level=candidate.level,
    )


def _made(
    source: Path, given: Candidate, form: str, prepacking: Prepacking
) -> tuple[Candidate, Candidate | None]:
    """Return the portable and, where there is one, the native form, not yet compared."""
    if form == "inline":
        with tempfile.TemporaryDirectory(prefix="hotplate-") as folder:
            if given.weights:  # the optimiser would leave references to files that are not published
                onnx.save(onnx.load(str(source)), str(source := Path(folder) / "whole.onnx"))
            _write(source, Path(folder), weights_outside=False)
            return _read(Path(folder), prepacking)[0], None
    home = cache_root() / "optimised" / _key(given)
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=home.parent))
        try:
            _write(source, unfinished, weights_outside=True)
            unfinished.rename(home)
        except OSError:
            if not home.exists():  # else another publisher was quicker, with the same files
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return _read(home, prepacking)


def _write(source: Path, folder: Path, *, weights_outside: bool) -> None:
    made = optimise_file(source, folder, "model", level="all", weights_outside=weights_outside)
    if not is_native(made.graph):
        return
    optimise_file(source, folder, "model", level="extended", weights_outside=weights_outside)
    if weights_outside:
        optimise_file(source, folder, f"model.{this_isa()}", level="all", weights_outside=True)
    (folder / ".optimise-at-load").touch()


def _read(folder: Path, prepacking: Prepacking) -> tuple[Candidate, Candidate | None]:
    def candidate(name: str, stem: str, level: Literal["all", "none"]) -> Candidate:
        weights = folder / f"{stem}.weights"
        files = {weights.name: weights} if weights.exists() and weights.stat().st_size else {}
        return Candidate(name, (folder / f"{stem}.onnx").read_bytes(), files, level, prepacking)

    # A portable graph of convolutions gets this processor's layout when it is loaded.
    level: Literal["all", "none"] = "all" if (folder / ".optimise-at-load").exists() else "none"
    outside = (folder / "model.weights").exists()
    portable = candidate("borrowed" if outside else "inline", "model", level)
    stem = f"model.{this_isa()}"
    native = candidate("native", stem, "none") if (folder / f"{stem}.onnx").exists() else None
    return portable, native


def _key(given: Candidate) -> str:
    digest = hashlib.sha256(f"1 {RUNTIME_VERSION} {this_isa()} ".encode() + given.graph)
    for name, file in given.weights.items():
        with file.open("rb") as stream:
            digest.update(name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:24]


def _evidence(graph: Graph, session: Session) -> Rows:
    """Return seeded feeds with the source's answers, where those are stable."""
    rows: Rows = []
    for size in GENERATED_SIZES:
        feeds = seeded_feeds(graph.inputs, size)
        try:
            first, second = (session.run(feeds, session.output_names) for _ in range(2))
        except InferenceError:
            continue
        if all(is_stable(first[name], second[name]) for name in session.output_names):
            rows.append((feeds, first))
    return rows


def _accepted(candidate: Candidate, rows: Rows, threads: int) -> tuple[Candidate, Session]:
    """Return the form with its difference, and a session over it.

    Raises:
        FailedError: It answers otherwise than the source.
        GraphError, InferenceError: It does not load or run.
    """
    session = open_session(candidate, threads)
    largest = 0.0
    for feeds, answers in rows:
        got = session.run(feeds, session.output_names)
        for name, expected in answers.items():
            scale = 1.0
            if expected.dtype.kind == "f" and expected.size:
                scale = max(scale, float(np.abs(expected).max()))
            found = difference(got[name], expected, rtol=RTOL, atol=ATOL * scale)
            if found:
                raise FailedError(f"the {candidate.name} form answers otherwise: {name!r}: {found}")
            if expected.dtype.kind == "f" and expected.size:
                largest = max(largest, float(np.abs(got[name].astype("f8") - expected).max()))
    return Candidate(
        candidate.name, candidate.graph, candidate.weights, candidate.level, candidate.prepacking, largest
    ), session


def _mapped(file: Path) -> memoryview:
    with file.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:  # nothing cannot be mapped
            return memoryview(b"")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
