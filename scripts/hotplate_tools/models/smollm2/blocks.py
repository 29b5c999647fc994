"""Weights of a GGUF file, and how ONNX Runtime's `MatMulNBits` and `GatherBlockQuantized` take them.

A GGUF block of 32 weights is `scale * code + least` with four-bit codes (`Q4_1`) or `scale * code` with
eight (`Q8_0`). ONNX Runtime has `scale * (code - zero)` with an integer `zero`, in blocks of 64 here: each
block costs a scale, and once more as much for its sum, which every token reads like the weights themselves.
In eight bits that loses next to nothing; in four `calibrated` says which codes lose least.

Axes: N outputs, K inputs, B blocks of a row, 64 weights.

Source: ggml, `block_q4_1`, `block_q8_0`; ONNX Runtime, "Contrib operators", `MatMulNBits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

__all__ = [
    "BLOCK",
    "Packed",
    "eight_bit_values",
    "four_bit_values",
    "in_eight_bits",
    "in_four_bits",
    "narrowed",
]

BLOCK = 64
_FOUR = 15  # the highest code of four bits


class Packed(NamedTuple):
    """A matrix in blocks.

    Attributes:
        codes: uint8 [N, B, 32] of four bits, two in a byte, the first in its lower half; [N, B, 64] of eight.
        scales: float32 [N, B].
        zeros: uint8 [N, ceil(B / 2)], two in a byte; None: half of what codes count to, 8 or 128, everywhere.
    """

    codes: Array
    scales: Array
    zeros: Array | None

    @property
    def bits(self) -> int:
        """Of a code."""
        return int(self.codes.shape[-1]) * 8 // BLOCK


def four_bit_values(raw: Array) -> Array:
    """Return rows in `Q4_1` as float64 [N, K], exactly.

    Args:
        raw: uint8 [N, K / 32 * 20]: a block is two float16, then 16 bytes; the lower halves are the first 16
        codes.
    """
    blocks = raw.reshape(len(raw), -1, 20)
    heads = np.ascontiguousarray(blocks[..., :4]).view("<f2").astype(np.float64)  # (N, K / 32, 2)
    halves = blocks[..., 4:]
    codes = np.concatenate([halves & _FOUR, halves >> 4], axis=-1)
    values: Array = codes * heads[..., :1] + heads[..., 1:]
    return values.reshape(len(raw), -1)


def eight_bit_values(raw: Array) -> Array:
    """Return rows in `Q8_0` as float64 [N, K], exactly.

    Args:
        raw: uint8 [N, K / 32 * 34]: a block is a float16, then 32 signed bytes.
    """
    blocks = raw.reshape(len(raw), -1, 34)
    scales = np.ascontiguousarray(blocks[..., :2]).view("<f2").astype(np.float64)  # (N, K / 32, 1)
    values: Array = np.ascontiguousarray(blocks[..., 2:]).view(np.int8) * scales
    return values.reshape(len(raw), -1)


def in_eight_bits(values: Array) -> Packed:
    """Return a matrix in eight bits around 128.

    Args:
        values: float64 [N, K], K a multiple of `BLOCK`.
    """
    blocks = values.reshape(len(values), -1, BLOCK)
    scale = (np.abs(blocks).max(axis=-1) / 127).astype(np.float32)
    safe = np.where(scale == 0, 1, scale).astype(np.float64)
    return Packed((np.rint(blocks / safe[..., None]) + 128).astype(np.uint8), scale, None)


def in_four_bits(codes: Array, scales: Array, zeros: Array) -> Packed:
    """Return a matrix of codes of four bits, [N, B, 64], scales and zeros, [N, B]."""
    return Packed(
        (codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8),
        scales.astype(np.float32),
        _paired(zeros.astype(np.uint8)),
    )


def narrowed(values: Array) -> Packed:
    """Return a matrix in four bits around 8: half the bytes of `in_eight_bits`, and much is lost."""
    blocks = values.reshape(len(values), -1, BLOCK)
    scale = np.abs(blocks).max(axis=-1) / 7
    safe = np.where(scale == 0, 1, scale)[..., None]
    codes = (np.rint(blocks / safe) + 8).astype(np.uint8)
    return in_four_bits(codes, scale, np.full(scale.shape, 8))._replace(zeros=None)


def _paired(zeros: Array) -> Array:
    if zeros.shape[1] % 2:
        zeros = np.pad(zeros, ((0, 0), (0, 1)))
    return np.ascontiguousarray(zeros[:, 0::2] | zeros[:, 1::2] << 4)
