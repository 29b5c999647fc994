"""Each form of a model measured in fresh processes on this machine.

The figures are this machine's and say so; no version depends on them. Forms take turns, so that a
machine that gets slower or busier does so for all of them, and medians are reported.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from hotplate.runtime.isa import this_isa
from hotplate.runtime.session import RUNTIME_VERSION
from hotplate_tools.failures import FailedError
from hotplate_tools.optimise.child import Job, Requests, Taken
from hotplate_tools.planning.records import BatchPoint, FormMeasured, Measurements
from hotplate_tools.planning.weights import choose_prepacking, must_prepack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.protocol.types import MetadataTensor
    from hotplate_tools.console import Console
    from hotplate_tools.optimise.forms import Candidate, Served

__all__ = ["BATCHES", "REPEATS", "cpu_name", "job_of", "measure", "medians_of", "run_job", "taken_here"]

REPEATS = 3
BATCHES = (1, 8, 32)
# A child that takes longer is given up on, in seconds: a minute of runs at most, and a large load.
PATIENCE_S = 600


def measure(
    served: Served,
    source: Candidate,
    inputs: Sequence[MetadataTensor],
    operators: frozenset[str],
    *,
    others: Sequence[Candidate] = (),
    console: Console,
    repeats: int = REPEATS,
) -> Measurements:
    """Return what each form needs on this machine.

    Args:
        served: The form that is published, and its native twin.
        source: The graph as given.
        inputs: Of the graph.
        operators: Types of its operators.
        others: Forms that were considered beside: the float ones, and other variants.
        console: Shown the progress.
        repeats: Fresh processes for each form.

    Raises:
        FailedError: A child failed; its last lines say why.
    """
    used = served.native or served.portable
    candidates = [*_candidates(served, source, operators), *others]
    threads = served.plan.intra_op_threads or 1
    batches = BATCHES if all(spec.shape[:1] == (-1,) for spec in inputs) else ()
    taken: list[list[Taken]] = [[] for _ in candidates]
    with tempfile.TemporaryDirectory(prefix="hotplate-") as folder:
        jobs = [job_of(candidate, Path(folder), threads, inputs, batches) for candidate in candidates]
        total = repeats * len(jobs)
        with console.step(f"Measuring {len(jobs)} forms, {repeats} fresh processes each ({total} runs)"):
            for _ in range(repeats):
                for index, job in enumerate(jobs):
                    taken[index].append(run_job(job))
    forms = tuple(
        medians_of(candidate, runs, batches, is_served=candidate is used)
        for candidate, runs in zip(candidates, taken, strict=True)
    )
    return taken_here(forms, threads=threads, repeats=repeats)


def taken_here(forms: tuple[FormMeasured, ...], *, threads: int, repeats: int) -> Measurements:
    """Return the record of forms that were measured on this machine."""
    return Measurements(
        cpu=cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        isa=this_isa(),
        onnxruntime=RUNTIME_VERSION,
        threads=threads,
        repeats=repeats,
        forms=forms,
    )


def _candidates(served: Served, source: Candidate, operators: frozenset[str]) -> list[Candidate]:
    """Return the source, what is served, and the same with the weights left as they are."""
    found = [served.portable, *([served.native] if served.native else [])]
    if served.portable.name != "source":
        found.insert(0, source)
    rule = choose_prepacking(operators, served.portable.size).value
    can_be_off = not must_prepack(operators) and served.plan.prepacking != "off"
    if rule in ("parallel", "later") and served.portable.weights and can_be_off:
        found.append(replace(served.portable, prepacking="off"))
    return found


def job_of(
    candidate: Candidate,
    folder: Path,
    threads: int,
    inputs: Sequence[MetadataTensor],
    batches: tuple[int, ...] = (),
    requests: Requests | None = None,
) -> Job:
    """Return what a fresh process is to do; the graph is written into `folder`."""
    handle, name = tempfile.mkstemp(dir=folder, suffix=".onnx")
    with os.fdopen(handle, "wb") as file:
        file.write(candidate.graph)
    return Job(
        graph=name,
        weights={location: str(path) for location, path in candidate.weights.items()},
        level=candidate.level,
        prepacking=candidate.prepacking,
        threads=threads,
        inputs=tuple(inputs),
        batches=batches,
        requests=requests,
    )


def run_job(job: Job) -> Taken:
    """Return what a fresh process measured.

    Raises:
        FailedError: It failed, and its last lines say why; or it took too long.
    """
    command = [sys.executable, "-m", "hotplate_tools.optimise.child"]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command,
            input=msgspec.json.encode(job),
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
            env=environ,
        )
    except subprocess.CalledProcessError as fault:
        last = "\n".join(fault.stderr.decode(errors="replace").strip().splitlines()[-4:])
        raise FailedError(
            f"measuring failed:\n{last}", advice="Run again with --no-measure to go without."
        ) from fault
    except subprocess.TimeoutExpired as fault:
        raise FailedError(
            f"measuring took more than {PATIENCE_S} s", advice="Run again with --no-measure to go without."
        ) from fault
    return msgspec.json.decode(done.stdout, type=Taken)


def medians_of(
    candidate: Candidate, runs: Sequence[Taken], batches: tuple[int, ...], *, is_served: bool
) -> FormMeasured:
    """Return the medians of a form's processes."""
    return FormMeasured(
        form=candidate.name,
        prepacking=candidate.prepacking,
        served=is_served,
        bytes=candidate.size,
        session_ms=round(median(run.session_ms for run in runs), 3),
        first_run_ms=round(median(run.first_run_ms for run in runs), 3),
        steady_ms=round(median(run.steady_ms for run in runs), 4),
        peak_mb=round(median(run.peak_mb for run in runs), 1),
        difference=candidate.difference,
        batches=tuple(
            BatchPoint(size, round(median(run.batches[index] for run in runs), 4))
            for index, size in enumerate(batches[: min(len(run.batches) for run in runs)])
        ),
    )


def cpu_name() -> str:
    """Return what the processor of this machine calls itself."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    line = next((line for line in text.splitlines() if line.startswith("model name")), "")
    return line.partition(":")[2].strip() or platform.processor() or platform.machine()
