"""The usage line of a piece, which the ledger counts once: its id is the piece's.

It is written after the piece is kept, and again whenever the piece's message comes again. A piece that was
predicted and not kept has none: nobody pays for what is done twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hotplate.http.usage import TIER
from hotplate.observability import write_line
from hotplate.prices import PRICES_DATE, piece_nano_usd

if TYPE_CHECKING:
    from hotplate.aws.batch_rows import Piece, Run
    from hotplate.batch.asked import PieceAnswer

__all__ = ["usage_of", "write_usage"]

_OK = 200
_SUMMED = ("billed_ms", "init_ms", "nano_usd")


def usage_of(answer: PieceAnswer, *, at: int, worker_ms: int, worker_mb: int) -> dict[str, Any]:
    """Return what of an answer is counted.

    Args:
        answer: Of the model's function.
        at: When it came, in seconds since 1970.
        worker_ms: How long it was waited for, in milliseconds.
        worker_mb: Memory of who waited, in MB.
    """
    return {
        "at": at,
        "bytes_in": answer.bytes_in,
        "bytes_out": answer.bytes_out,
        "init_ms": answer.init_ms,
        "billed_ms": answer.billed_ms,
        "memory_mb": answer.memory_mb,
        "cold": answer.cold,
        "nano_usd": piece_nano_usd(answer.billed_ms, answer.memory_mb, worker_ms, worker_mb),
    }


def summed_usage(piece: Piece) -> dict[str, int]:
    """Return what the ledger counted of a piece in all rounds."""
    now = {"requests": 1, **{name: piece.usage.get(name, 0) for name in _SUMMED}}
    return {name: count + piece.earlier.get(name, 0) for name, count in now.items()}


def write_usage(run: Run, piece: Piece) -> None:
    """Write the line of a piece that is done; one whose rows were asked again has one for each time."""
    again = f"-{piece.asked_in}" if piece.asked_in else ""
    write_line(
        "usage",
        {
            "request_id": f"batch-{run.id}-{run.created}-{piece.chunk}-{piece.piece}{again}",
            "tenant": run.tenant,
            "key": None,
            "model": run.model,
            "version": run.version,
            "tier": TIER,
            "status": _OK,
            "rows": piece.asked if piece.asked_in else piece.rows,
            "ms": piece.usage["billed_ms"] - piece.usage["init_ms"],
            "prices": PRICES_DATE,
            **piece.usage,
        },
    )
