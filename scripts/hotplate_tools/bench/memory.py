"""How much memory does a function hold? `hotplate bench memory`.

Each round starts a fresh environment of each kind on awslambdaric and reads what the kernel says of its
processes: after init, and after some requests. What several processes share is counted once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from hotplate_tools.bench.cold import MODELS, request_events, written
from hotplate_tools.bench.rivals import HOTPLATE, USUAL
from hotplate_tools.bench.stage import Stage, answer_of
from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.console import Console
    from hotplate_tools.local.runtime_api import Environment, RuntimeApi

__all__ = ["BAR_BASE_MB", "BAR_FACTOR", "Held", "Memory", "bench_memory", "memory_data", "memory_text"]

# What a function may hold after init: so many times its weights, and so many MiB for Python, NumPy, ONNX
# Runtime and the runtime. Ours.
BAR_FACTOR, BAR_BASE_MB = 1.15, 90.0

PROCESSES = 4
REQUESTS = 8
_MIB = 2**20
# The second session takes so long at most, in seconds.
_SETTLE_S = 60.0
_ON_DEMAND = {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
_MANAGED = {
    "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances",
    "AWS_LAMBDA_MAX_CONCURRENCY": str(PROCESSES),
}
# Program, how Lambda starts it, and in how many processes, by kind.
_KINDS: dict[str, tuple[str, Mapping[str, str], int]] = {
    "hotplate": (HOTPLATE, _ON_DEMAND, 1),
    "usual": (USUAL, _ON_DEMAND, 1),
    f"hotplate, {PROCESSES} processes": (HOTPLATE, _MANAGED, PROCESSES),
    f"usual, {PROCESSES} processes": (USUAL, _MANAGED, PROCESSES),
}


@dataclass(frozen=True, slots=True)
class Held:
    """One kind's memory in MiB, one figure a round.

    Attributes:
        loaded: After init.
        steady: After requests, and the second session where there is one.
        peak: The most that one of its processes had resident at once.
    """

    loaded: list[float] = field(default_factory=list)
    steady: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the functions of one model hold.

    Attributes:
        model: Key of `MODELS`.
        weights_mb: Weights as they were fetched, in MiB.
        two_stages: Whether weights are rearranged after the first answer, so that `steady` has both copies.
        held: By kind.
    """

    model: str
    weights_mb: float
    two_stages: bool
    held: Mapping[str, Held]

    @property
    def bar_mb(self) -> float:
        """The most that `hotplate` may hold after init, in MiB."""
        return BAR_FACTOR * self.weights_mb + BAR_BASE_MB

    @property
    def is_within(self) -> bool:
        """Whether it does."""
        return median(self.held["hotplate"].loaded) <= self.bar_mb


def bench_memory(model: str, *, rounds: int, console: Console) -> Memory:
    """Return what the functions of one model hold.

    Raises:
        FailedError: A function did not answer.
    """
    kind = MODELS[model]
    held = {name: Held() for name in _KINDS}
    with Stage(console) as stage:
        with console.step(f"Publishing {model}"):
            staged = stage.publish(written(model, kind), model)
        events = request_events(kind, staged)
        with console.step(f"Starting {len(held)} kinds of function {rounds} times each"):
            for _ in range(rounds):
                for name, (program, how, processes) in _KINDS.items():
                    event = events["hotplate" if program is HOTPLATE else "usual"]
                    with stage.runtime(program, staged, how) as (api, environment):
                        _measure(api, environment, event, processes, held[name], staged.prepacking == "later")
    return Memory(model, staged.fetched_bytes / _MIB, staged.prepacking == "later", held)


def _measure(
    api: RuntimeApi, environment: Environment, event: bytes, processes: int, held: Held, two_stages: bool
) -> None:
    api.wait_ready(processes)
    main = environment.process.pid
    pids = [main] if processes == 1 else [main, *_children(main)]
    held.loaded.append(_held_mb(pids))
    for _ in range(REQUESTS):
        try:
            answer_of(api.invoke(event))
        except ValueError as fault:
            raise FailedError(f"{fault}", advice="\n".join(environment.log()[-6:])) from fault
    if two_stages and processes == 1 and any('"hotplate":"cold"' in line for line in environment.log()):
        _await_second(environment)
    held.steady.append(_held_mb(pids))
    held.peak.append(max(_peak_mb(pid) for pid in pids))


def _await_second(environment: Environment) -> None:
    deadline = time.monotonic() + _SETTLE_S
    while not any('"hotplate":"second session"' in line for line in environment.log()):
        if time.monotonic() > deadline:
            raise FailedError("the second session was not built:\n" + "\n".join(environment.log()[-6:]))
        time.sleep(0.1)


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _held_mb(pids: list[int]) -> float:
    """Return what processes hold, shared pages once; received weights count whole, touched or not."""
    total = 0
    for pid in pids:
        is_received = False
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            name, _, value = line.partition(":")
            if "-" in line.partition(" ")[0]:
                is_received = "/memfd:hotplate-model" in line
            elif name == ("Size" if is_received else "Pss"):
                total += int(value.split()[0])
    return total / 1024


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def memory_data(seen: Memory) -> dict[str, Any]:
    """Return the figures for `--json`."""
    return {
        "model": seen.model,
        "weights_mb": round(seen.weights_mb, 1),
        "two_stages": seen.two_stages,
        "bar_mb": round(seen.bar_mb, 1),
        "is_within": seen.is_within,
        "held_mb": {
            name: {
                "loaded": round(median(held.loaded), 1),
                "steady": round(median(held.steady), 1),
                "peak": round(median(held.peak), 1),
            }
            for name, held in seen.held.items()
        },
    }


def memory_text(seen: Memory) -> str:
    """Return the figures as a table."""
    rounds = len(seen.held["hotplate"].loaded)
    lines = [
        f"{seen.model}, weights of {seen.weights_mb:,.0f} MiB, {rounds} fresh environments of each, MiB",
        f"  {'':<24}{'after init':>12}{'steady':>10}{'peak':>10}",
    ]
    for name, held in seen.held.items():
        figures = (median(each) for each in (held.loaded, held.steady, held.peak))
        loaded, steady, peak = (f"{figure:,.0f}" for figure in figures)
        lines.append(f"  {name:<24}{loaded:>12}{steady:>10}{peak:>10}")
    word = "within" if seen.is_within else "OVER"
    lines.append(
        f"after init hotplate is {word} {BAR_FACTOR} x weights + {BAR_BASE_MB:.0f} = {seen.bar_mb:,.0f}"
    )
    if seen.two_stages:
        lines.append("steady has the rearranged weights beside those received; several processes have none")
    lines.append("peak is of the largest process, pages it shares included")
    return "\n".join(lines)
