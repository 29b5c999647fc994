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


def write_usage(run: Run, piece: Piece) -> None:
    """Write the line of a piece that is done."""
    write_line(
        "usage",
        {
            "request_id": f"batch-{run.id}-{piece.chunk}-{piece.piece}",
            "tenant": run.tenant,
            "key": None,
            "model": run.model,
            "version": run.version,
            "tier": TIER,
            "status": _OK,
            "rows": piece.rows,
            "ms": piece.usage["billed_ms"] - piece.usage["init_ms"],
            "prices": PRICES_DATE,
            **piece.usage,
        },
    )
