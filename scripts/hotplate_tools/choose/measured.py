"""Candidates measured in fresh processes on this machine, in turns, and what a plan makes of the figures."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from hotplate_tools.choose.ranking import Scored
from hotplate_tools.failures import FailedError
from hotplate_tools.optimise.child import Requests
from hotplate_tools.optimise.measure import REPEATS, job_of, medians_of, run_job, taken_here
from hotplate_tools.planning.describe import SERVING_CODE_BYTES, description_of
from hotplate_tools.planning.prices import read_prices
from hotplate_tools.planning.rules import propose

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hotplate_tools.choose.candidates import Contender
    from hotplate_tools.choose.rows import Judged
    from hotplate_tools.console import Console
    from hotplate_tools.optimise.child import Job, Taken

__all__ = ["Entry", "measured", "scored"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A candidate that answered the rows, and the file of its rows."""

    contender: Contender
    rows: Path
    judged: Judged


def measured(
    entries: Sequence[Entry], folder: Path, console: Console, *, repeats: int = REPEATS
) -> list[list[Taken] | FailedError]:
    """Return what each candidate's processes measured, or why one failed.

    Candidates take turns, so that a machine that gets slower or busier does so for all of them.
    """
    jobs = [_job(entry, folder) for entry in entries]
    found: list[list[Taken] | FailedError] = [[] for _ in entries]
    with console.step(f"Measuring {len(jobs)} candidates, {repeats} fresh processes each"):
        for _ in range(repeats):
            for index, job in enumerate(jobs):
                runs = found[index]
                if isinstance(runs, list):
                    try:
                        runs.append(run_job(job))
                    except FailedError as fault:
                        found[index] = fault
    return found


def scored(entry: Entry, runs: Sequence[Taken], traffic: float | None) -> Scored:
    """Return the figures of a candidate.

    Its plan reckons with the user's rows: the median of one row, the function's own steps included, stands
    for the run of one made-up row that `hotplate plan` takes.

    Raises:
        RefusedError: No tier holds it.
    """
    contender, manifest = entry.contender, entry.contender.manifest
    latencies = [run.latency for run in runs if run.latency]
    p50, p95 = (
        median(values) for values in zip(*((one.p50_ms, one.p95_ms) for one in latencies), strict=True)
    )
    form = medians_of(contender.form, runs, (), is_served=True)
    form = msgspec.structs.replace(form, steady_ms=round(p50, 4))
    threads = manifest.plan.intra_op_threads or 1
    described = description_of(
        manifest,
        contender.portable,
        code_bytes=SERVING_CODE_BYTES,
        measurements=taken_here((form,), threads=threads, repeats=len(runs)),
    )
    proposal = propose(described, read_prices(), traffic=traffic)
    return Scored(
        name=contender.label,
        quality=round(entry.judged.quality, 4),
        p50_ms=round(p50, 2),
        p95_ms=round(p95, 2),
        peak_mb=round(form.peak_mb),
        memory_mb=proposal.memory_mb.value,
        cold_start_s=round(proposal.figures.init_s, 2),
        usd=round(proposal.money.total, 2),
        bytes=described.model_bytes,
        tier=proposal.tier.value,
    )


def _job(entry: Entry, folder: Path) -> Job:
    contender, manifest = entry.contender, entry.contender.manifest
    requests = Requests(
        name=manifest.name,
        assets={name: str(path) for name, path in contender.assets.items()},
        rows=str(entry.rows),
        inputs=manifest.inputs,
        outputs=manifest.outputs,
    )
    return job_of(
        contender.form, folder, manifest.plan.intra_op_threads or 1, contender.inputs, requests=requests
    )
