"""Is a session that was swapped in as fast as one that was there from the start? `hotplate bench steady`.

One version, loaded twice in one process, on demand and as under provisioned concurrency. The first answers in
two stages; when its second session is there, both run by turns, so that whatever slows one slows the other.
"""

from __future__ import annotations

import io
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.runtime.loader import load_model
from hotplate.runtime.model import TransformedGraph
from hotplate.runtime.staged import StagedSession
from hotplate_tools.bench.cold import MODELS, feeds_of, written
from hotplate_tools.bench.stage import Stage
from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from hotplate.runtime.session import Session
    from hotplate.settings import Settings
    from hotplate_tools.bench.stage import FolderReader
    from hotplate_tools.console import Console

    Array = np.ndarray[Any, Any]

__all__ = ["BAR", "MODEL", "Steady", "bench_steady", "steady_data", "steady_text"]

# How much longer a run may take after the swap. Ours.
BAR = 1.03
RUNS = 7  # of each session in a round
MODEL = "encoder-500mb"  # the one of `MODELS` that is served in two stages


@dataclass(frozen=True, slots=True)
class Steady:
    """Milliseconds a run, the median of each round.

    Attributes:
        swapped: After the swap.
        plain: Of a session whose weights were rearranged from the start.
        difference: Of the answers, relative to the largest.
    """

    swapped: list[float]
    plain: list[float]
    difference: float

    @property
    def ratio(self) -> float:
        """Time after the swap, in that of the plain session: the median over the rounds."""
        return median(swapped / plain for swapped, plain in zip(self.swapped, self.plain, strict=True))


def bench_steady(*, rounds: int, console: Console) -> Steady:
    """Return how long runs take.

    Raises:
        FailedError: The model is not served in two stages, or the second session could not be built.
    """
    kind = MODELS[MODEL]
    feeds = {kind.name: feeds_of(kind)}
    with Stage(console) as stage:
        with console.step(f"Publishing {MODEL}"):
            settings, reader = stage.direct(stage.publish(written(MODEL, kind), MODEL))
        with console.step("Loading it twice"):
            plain = _session(settings._replace(init_type="provisioned-concurrency"), reader)
            swapped = _swapped(_session(settings, reader), feeds)
        with console.step(f"Running both by turns, {rounds} rounds"):
            rows = [_round(swapped, plain, feeds, number) for number in range(rounds)]
    answers = [session.run_all(feeds)[session.output_names[0]] for session in (swapped, plain)]
    difference = float(np.abs(answers[0] - answers[1]).max() / np.abs(answers[1]).max())
    return Steady([row[0] for row in rows], [row[1] for row in rows], difference)


def _session(settings: Settings, reader: FolderReader) -> Session | StagedSession:
    predictor = load_model(settings, reader).predictor
    if not isinstance(predictor, TransformedGraph):
        raise FailedError(f"{settings.model} is no graph")
    return predictor.session


def _swapped(session: Session | StagedSession, feeds: dict[str, Array]) -> StagedSession:
    if not isinstance(session, StagedSession):
        raise FailedError(f"{MODEL} is not served in two stages")
    # A function's log would be among what this command prints.
    with redirect_stdout(io.StringIO()):
        while session.stage == 1 and not session.fault:
            session.run_all(feeds)
            session.join()
    if session.fault:
        raise FailedError(f"the second session could not be built: {session.fault}")
    return session


def _round(
    swapped: StagedSession, plain: Session | StagedSession, feeds: dict[str, Array], number: int
) -> tuple[float, float]:
    taken: dict[int, list[float]] = {0: [], 1: []}
    for turn in range(RUNS):
        # Who runs second finds warm caches, so they change places.
        for which in (0, 1) if (number + turn) % 2 else (1, 0):
            started = time.perf_counter()
            (swapped, plain)[which].run_all(feeds)
            taken[which].append((time.perf_counter() - started) * 1000)
    return median(taken[0]), median(taken[1])


def steady_data(seen: Steady) -> dict[str, Any]:
    """Return the figures for `--json`."""
    return {
        "model": MODEL,
        "swapped_ms": [round(each, 2) for each in seen.swapped],
        "plain_ms": [round(each, 2) for each in seen.plain],
        "ratio": round(seen.ratio, 3),
        "bar": BAR,
        "is_within": seen.ratio <= BAR,
        "difference": seen.difference,
    }


def steady_text(seen: Steady) -> str:
    """Return the figures as a table."""
    rounds = len(seen.plain)
    lines = [f"{MODEL}, one row, {rounds} rounds of {RUNS} runs of each by turns, ms a run"]
    for name, runs in (("after the swap", seen.swapped), ("plain prepacked", seen.plain)):
        lines.append(f"  {name:<18}{median(runs):>9,.1f}   ({min(runs):,.1f} to {max(runs):,.1f})")
    word = "within" if seen.ratio <= BAR else "OVER"
    lines.append(f"after the swap a run takes {seen.ratio:.3f} times as long: {word} {BAR}")
    lines.append(f"the answers differ by {seen.difference:.0e} of the largest")
    return "\n".join(lines)
