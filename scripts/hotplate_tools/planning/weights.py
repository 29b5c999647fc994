"""How weights are kept and loaded: rules on the size of the model and the types of its operators.

Only these decide, never a measurement, so that the same model is the same version on every run.

Source: the project's bench of ONNX Runtime 1.32 on two AVX2 cores, random weights, batch 1: a 495 MB
encoder is ready after 1,778 ms from one file, 369 ms with borrowed weights rearranged in parallel,
125 ms with rearranging off, which makes each run 1.5 to 1.8 times slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hotplate.manifest.schema import Prepacking

__all__ = [
    "INLINE_BYTES",
    "LATER_BYTES",
    "Chosen",
    "choose_form",
    "choose_prepacking",
    "is_convolutional",
    "megabytes",
    "must_prepack",
]

# At or below this one file loads as fast as two. Ours, from the bench above: 1.2 MB 10 ms either way.
INLINE_BYTES = 5_000_000

# From here on the first answer comes before weights are rearranged. Ours: below it takes less than 0.1 s.
LATER_BYTES = 150_000_000

# Operators whose weights ONNX Runtime rearranges when it builds the session.
_PREPACKED = {"Attention", "FusedGemm", "FusedMatMul", "GRU", "Gemm", "LSTM", "MatMul", "MatMulInteger"}
# These compute from unpacked weights some forty times slower, so they are always packed.
_ALWAYS_PACKED = {"MatMulNBits", "QMoE", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
_CONVOLUTIONS = {"Conv", "ConvTranspose", "FusedConv"}


class Chosen[T](NamedTuple):
    """A value and why."""

    value: T
    reason: str


def is_convolutional(operators: frozenset[str]) -> bool:
    """Return whether convolutions do the work, so that a processor's own layout matters."""
    return bool(operators & _CONVOLUTIONS)


def must_prepack(operators: frozenset[str]) -> bool:
    """Return whether an operator computes from unpacked weights so slowly that they are always packed."""
    return bool(operators & _ALWAYS_PACKED)


def choose_form(model_bytes: int) -> Chosen[str]:
    """Return `inline` or `borrowed`."""
    size, bound = megabytes(model_bytes), megabytes(INLINE_BYTES)
    if model_bytes <= INLINE_BYTES:
        return Chosen("inline", f"{size} is not over {bound}: one file loads as fast as two")
    return Chosen("borrowed", f"{size} is over {bound}: the session borrows the weights and copies none")


def choose_prepacking(operators: frozenset[str], weights_bytes: int) -> Chosen[Prepacking]:
    """Return whether and how weights are rearranged at load."""
    if special := sorted(operators & _ALWAYS_PACKED):
        return Chosen("parallel", f"{special[0]} runs some forty times slower from unpacked weights")
    if not operators & _PREPACKED:
        return Chosen("on", "no operator here has weights to rearrange, so it costs nothing")
    if weights_bytes <= INLINE_BYTES:
        return Chosen("on", "the weights are small, so it takes about a millisecond")
    if weights_bytes >= LATER_BYTES:
        reason = "rearranged weights make runs 1.5 to 1.8 times faster, but the first answer need not wait"
        return Chosen("later", reason)
    return Chosen("parallel", "matrix products run 1.5 to 1.8 times faster from rearranged weights")


def megabytes(count: int) -> str:
    """Return bytes in words, in decimal megabytes or, below a tenth of one, kilobytes."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"
