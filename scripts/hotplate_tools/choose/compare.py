"""`hotplate choose` as one call: candidates and rows in, a ranking out.

    MODEL → candidate → rows as it takes them → quality → measured in fresh processes → plan → ranking

A candidate that cannot be compared is listed with the reason; the others are ranked without it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.errors import HotplateError
from hotplate_tools.choose.candidates import published, variant_of, written
from hotplate_tools.choose.measured import Entry, measured, scored
from hotplate_tools.choose.ranking import front, picks, ranked
from hotplate_tools.choose.rows import judged, read_rows
from hotplate_tools.failures import FailedError, RefusedError, ToolError
from hotplate_tools.optimise.measure import REPEATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hotplate.manifest.schema import VariantKind
    from hotplate.store.base import Store
    from hotplate_tools.choose.candidates import Contender, Given
    from hotplate_tools.choose.ranking import Scored
    from hotplate_tools.choose.rows import Judged, Rows
    from hotplate_tools.console import Console
    from hotplate_tools.convert.converted import ConvertOptions

__all__ = ["Compared", "Wanted", "compare"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be compared, and how.

    Attributes:
        given: The candidates.
        rows: The user's.
        options: How to convert what is not ONNX.
        kinds: Variants that are candidates too.
        output: On which quality is measured; None where there is just one.
        traffic: Requests a minute, or None.
        store, alias: The registry, if there is one.
    """

    given: tuple[Given, ...]
    rows: Path
    options: ConvertOptions
    kinds: tuple[VariantKind, ...] = ()
    output: str | None = None
    traffic: float | None = None
    store: Store | None = None
    alias: str = "live"


@dataclass(frozen=True, slots=True)
class Compared:
    """A ranking.

    Attributes:
        ranked: The candidates, best first.
        front: Names of those that no other beats.
        picks: What to take for `quality`, `money` and `p95`.
        refused: What could not be compared, with the reason.
        metric: What quality is: see `optimise.quality`.
        outputs: On which output it was measured, by the candidate's name.
        rows_file, rows_sha256, rows: What it was measured on.
        traffic: Requests a minute, or None.
    """

    ranked: tuple[Scored, ...]
    front: frozenset[str]
    picks: dict[str, Scored]
    refused: dict[str, str]
    metric: str
    outputs: dict[str, str]
    rows_file: str
    rows_sha256: str
    rows: int
    traffic: float | None


class _Room:
    """What is at work while candidates are compared: their folders, and who was refused."""

    def __init__(self, wanted: Wanted, stack: ExitStack, console: Console) -> None:
        self.wanted, self.stack, self.console = wanted, stack, console
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hotplate-choose-")))
        self.refused: dict[str, str] = {}
        self._count = 0

    def new_folder(self) -> Path:
        self._count += 1
        (folder := self.folder / str(self._count)).mkdir()
        return folder

    def attempt[R](self, label: str, step: Callable[[], R]) -> R | None:
        """Return what `step` returns, or None after noting why `label` is not compared."""
        try:
            return step()
        except HotplateError as fault:
            advice = fault.advice if isinstance(fault, ToolError) else ""
            self.refused[label] = f"{fault}. {advice}" if advice else str(fault)
            return None


def compare(wanted: Wanted, console: Console, *, repeats: int = REPEATS) -> Compared:
    """Return the candidates ranked by their answers to the user's rows, and what they need and cost.

    Args:
        wanted: What.
        console: Told while it is done.
        repeats: Fresh processes for each candidate.

    Raises:
        RefusedError: The rows are none, no candidate can be compared, or not by the same metric.
    """
    rows = read_rows(wanted.rows)
    with ExitStack() as stack:
        room = _Room(wanted, stack, console)
        entries = _named(list(_entries(room, rows)))
        _warn_of_unused(rows, entries, console)
        metric = _one_metric(entries, room.refused)
        found = _scored(room, entries, repeats)
    _refuse_nothing(found, room.refused)
    with wanted.rows.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return Compared(
        ranked=tuple(ranked(found)),
        front=frozenset(one.name for one in front(found)),
        picks=picks(found),
        refused=room.refused,
        metric=metric,
        outputs={entry.contender.label: entry.judged.output for entry in entries},
        rows_file=wanted.rows.name,
        rows_sha256=sha256,
        rows=max(entry.judged.rows for entry in entries),
        traffic=wanted.traffic,
    )


def _entries(room: _Room, rows: Rows) -> Iterator[tuple[Given, Entry]]:
    """Yield what answers the rows, each model followed by its variants."""
    for given in room.wanted.given:
        entry = room.attempt(given.said, partial(_float_entry, given, rows, room))
        if entry is None:
            continue
        yield given, entry
        for kind in room.wanted.kinds if given.kind != "registry" else ():
            made = room.attempt(
                f"{given.said}-{kind}", partial(_variant_entry, kind, given, entry, rows, room)
            )
            if made:
                yield given, made


def _float_entry(given: Given, rows: Rows, room: _Room) -> Entry:
    wanted = room.wanted
    if given.kind == "registry" and wanted.store:
        return _entry(published(given, room.new_folder(), wanted.store, wanted.alias), rows, room)
    making = written(given, room.new_folder(), wanted.options, room.console)
    return _entry(room.stack.enter_context(making), rows, room)


def _variant_entry(kind: VariantKind, given: Given, entry: Entry, rows: Rows, room: _Room) -> Entry:
    making = variant_of(kind, given, entry.rows, room.new_folder(), room.wanted.options, room.console)
    return _entry(room.stack.enter_context(making), rows, room)


def _entry(contender: Contender, rows: Rows, room: _Room) -> Entry:
    file = rows.written_for(contender.manifest, room.new_folder())
    with room.console.step(f"Asking {contender.label} the rows"):
        return Entry(contender, file, judged(contender, file, room.wanted.output))


def _named(found: Sequence[tuple[Given, Entry]]) -> list[Entry]:
    """Return the candidates; those that share a name are called what the user called them."""
    counts = Counter(entry.contender.label for _, entry in found)

    def renamed(given: Given, entry: Entry) -> Entry:
        label = entry.contender.label
        if counts[label] == 1:
            return entry
        kind = label.removeprefix(given.name or entry.contender.manifest.name)
        return replace(entry, contender=replace(entry.contender, label=f"{given.said}{kind}"))

    return [renamed(given, entry) for given, entry in found]


def _warn_of_unused(rows: Rows, entries: Sequence[Entry], console: Console) -> None:
    taken: set[str] = set().union(*(rows.taken_by(entry.contender.manifest) for entry in entries))
    unused = sorted(set(rows.arrays or ()) - taken)
    if unused and entries:
        console.warn(f"in the rows, but taken by no candidate: {', '.join(unused)}")


def _one_metric(entries: Sequence[Entry], refused: dict[str, str]) -> str:
    _refuse_nothing(entries, refused)
    judgements: dict[str, Judged] = {entry.contender.label: entry.judged for entry in entries}
    metrics = {one.metric for one in judgements.values()}
    if len(metrics) > 1:
        text = ", ".join(f"{label} by {one.metric} of {one.output!r}" for label, one in judgements.items())
        raise RefusedError(
            f"not one metric: {text}", advice="Give rows whose expected answers are of one kind, or --output."
        )
    return metrics.pop()


def _scored(room: _Room, entries: Sequence[Entry], repeats: int) -> list[Scored]:
    found = []
    for entry, runs in zip(
        entries, measured(entries, room.folder, room.console, repeats=repeats), strict=True
    ):
        label = entry.contender.label
        if isinstance(runs, FailedError):
            room.refused[label] = str(runs)
        elif one := room.attempt(label, partial(scored, entry, runs, room.wanted.traffic)):
            found.append(one)
    return found


def _refuse_nothing(found: Sequence[object], refused: dict[str, str]) -> None:
    if not found:
        lines = "".join(f"\n  {label}: {reason}" for label, reason in refused.items())
        raise RefusedError(f"no candidate can be compared:{lines}")
