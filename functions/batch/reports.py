"""`report.json`: how a run ended, in counts, versions, digests, times and money; and how one goes on.

Written once a run has ended, and before the table says that it has: whoever sees the end finds the report.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from functions.batch.usage import summed_usage
from hotplate import __version__
from hotplate.aws.batch_files import IN
from hotplate.prices import PRICES_DATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.batch.files import RunFiles
    from hotplate.aws.batch_rows import Piece, Run

__all__ = ["Reports", "engine_of", "folder_of_run", "status_of_run"]

_WRITTEN = (*(f"predictions.{suffix}" for suffix in ("csv", "jsonl", "parquet", "npz")), "errors.jsonl")
_NANO = 1_000_000_000
# Chunks that failed, named one by one; the rest is counted. Ours.
MAX_NAMED = 100


class Reports:
    """Writes reports to where a run's predictions are."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    def write(
        self, run: Run, pieces: Sequence[Piece], written: dict[str, dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Write the report of a run, and return it.

        Args:
            run: As it is when it has ended.
            pieces: What became of it.
            written: Of `predictions` and `errors`: key, bytes and digest of what there is.

        Raises:
            StoreError: The bucket cannot be written.
        """
        report = _report(run, pieces, written or {})
        body = orjson.dumps(report, option=orjson.OPT_INDENT_2)
        self._files.put(f"{folder_of_run(run)}/report.json", body, "application/json")
        return report

    def remove_others(self, run: Run, written: dict[str, dict[str, Any]]) -> None:
        """Remove what an earlier run of the same key left, and this one has not: it is not of this report.

        Raises:
            StoreError: The bucket cannot be written.
        """
        kept = {each["key"] for each in written.values()}
        for name in _WRITTEN:
            if (key := f"{folder_of_run(run)}/{name}") not in kept:
                self._files.remove(key)


def folder_of_run(run: Run) -> str:
    """Return the prefix of a run's predictions, errors and report."""
    return f"out/{run.key.removeprefix(IN)}"


def engine_of(run: Run) -> str:
    """Return what hands out the chunks of this round: `queue` or `map`."""
    return "map" if run.mapped else "queue"


def status_of_run(run: Run) -> dict[str, Any]:
    """Return what is told of a run: its state, and the counts so far."""
    return {
        "run": run.id,
        "state": run.state,
        "reason": run.reason or None,
        "tenant": run.tenant,
        "model": run.model,
        "version": run.version or None,
        "input": {"key": run.key, "etag": run.etag, "bytes": run.size},
        "chunks": {"all": run.chunks if run.chunks >= 0 else None, "done": run.done, "failed": run.failed},
        "rows": {"predicted": run.predicted, "failed": run.bad},
        "round": run.round,
        "engine": engine_of(run),
        "created": run.created,
        "updated": run.updated,
        "ended": run.ended or None,
        "expires": run.gone_at,
        "out": folder_of_run(run),
    }


def _report(run: Run, pieces: Sequence[Piece], written: dict[str, dict[str, Any]]) -> dict[str, Any]:
    done = [each for each in pieces if each.state == "done"]
    failed = [each for each in pieces if each.state == "failed"]
    # Also why rows could not be asked again.
    told = [each for each in pieces if each.reason]
    timings: Counter[str] = Counter()
    for each in done:
        timings.update(each.timings_ms)
    return {
        "run": run.id,
        "state": run.state,
        "reason": run.reason or None,
        "hotplate": __version__,
        "tenant": run.tenant,
        "model": run.model,
        "version": run.version or None,
        "input": {"key": run.key, "etag": run.etag, "bytes": run.size},
        "options": orjson.loads(run.options) if _is_json(run.options) else None,
        "rows": {
            "read": sum(each.rows for each in done),
            "predicted": sum(each.predicted for each in done),
            "failed": sum(each.bad for each in done),
        },
        "resumable_rows": sum(each.again for each in done),
        "chunks": {
            "all": max(run.chunks, 0),
            "done": run.done,
            "failed": len(failed),
            "pieces": len(done),
            "reasons": [{"chunk": each.chunk, "reason": each.reason} for each in told[:MAX_NAMED]],
        },
        "files": written,
        "round": run.round,
        "engine": engine_of(run),
        "began": _time(run.created),
        "ended": _time(run.ended),
        "seconds": run.ended - run.created,
        "model_ms": {stage: round(ms, 1) for stage, ms in sorted(timings.items())},
        "usage": _usage(done),
    }


def _usage(done: Sequence[Piece]) -> dict[str, Any]:
    sums: Counter[str] = Counter()
    for each in done:
        sums.update(summed_usage(each))
    return {
        "requests": sums["requests"],
        "billed_ms": sums["billed_ms"],
        "init_ms": sums["init_ms"],
        "usd": round(sums["nano_usd"] / _NANO, 9),
        "prices": PRICES_DATE,
    }


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _time(at: int) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z") if at else None
