"""Weights of a GGUF file as ONNX Runtime's `MatMulNBits` and `GatherBlockQuantized` take them.

A GGUF block of 32 weights is `scale * code + least` with four-bit codes (`Q4_1`) or `scale * code` with
eight (`Q8_0`). ONNX Runtime has `scale * (code - zero)` with an integer `zero`. Eight bits are therefore
moved without loss. Four bits are fitted: `zero` is one of the two integers beside `-least / scale`, the
scale is the best one for it by least squares, and codes are rounded again; or they are widened to eight,
where what the fit loses matters.

Axes: N outputs, B blocks of a row, 32 weights.

Source: ggml, `block_q4_1`, `block_q8_0`; ONNX Runtime, "Contrib operators", `MatMulNBits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

__all__ = ["BLOCK", "Packed", "narrow", "pack_eight_bits", "pack_four_bits", "values_of", "widen"]

BLOCK = 32
_MOST = 15  # of four bits


class Packed(NamedTuple):
    """A matrix in blocks.

    Attributes:
        codes: uint8 [N, B, 16] of four bits, two in a byte, the first in its lower half; [N, B, 32] of eight.
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


def values_of(raw: Array) -> tuple[Array, Array, Array]:
    """Return codes uint8 [N, B, 32], scales and leasts float32 [N, B] of rows in `Q4_1`.

    Args:
        raw: uint8 [N, B * 20]: a block is two float16, then 16 bytes; the lower halves are the first 16
        codes.
    """
    blocks = raw.reshape(len(raw), -1, 20)
    heads = np.ascontiguousarray(blocks[..., :4]).view("<f2").astype(np.float32)  # (N, B, 2)
    halves = blocks[..., 4:]
    return np.concatenate([halves & _MOST, halves >> 4], axis=-1), heads[..., 0], heads[..., 1]


def pack_four_bits(raw: Array) -> Packed:
    """Return a matrix of `Q4_1` in blocks with integer zeros.

    Args:
        raw: As of `values_of`.
    """
    codes, scales, leasts = values_of(raw)
    # In FP64 every sum of these is exact, and what is not exact is added in one order: so the same file gives
    # the same bytes on every processor.
    values = codes * scales[..., None].astype(np.float64) + leasts[..., None]  # (N, B, 32)
    middle = -leasts.astype(np.float64) / np.where(scales == 0, 1, scales)
    below, above = (_fitted(values, codes, np.clip(side(middle), 0, _MOST)) for side in (np.floor, np.ceil))
    is_below = below.error <= above.error
    best = np.where(is_below[..., None], below.codes, above.codes).astype(np.uint8)
    scale = np.where(is_below, below.scale, above.scale).astype(np.float32)
    return Packed(
        best[..., 0::2] | best[..., 1::2] << 4, scale, _paired(np.where(is_below, below.zero, above.zero))
    )


def widen(raw: Array) -> Packed:
    """Return a matrix of `Q4_1` in eight bits: twice the bytes, and next to nothing is lost.

    Args:
        raw: As of `values_of`.
    """
    codes, scales, leasts = values_of(raw)
    values = codes * scales[..., None].astype(np.float64) + leasts[..., None]  # (N, B, 32), exact
    scale = (np.abs(values).max(axis=-1) / 127).astype(np.float32)
    safe = np.where(scale == 0, 1, scale).astype(np.float64)
    return Packed((np.rint(values / safe[..., None]) + 128).astype(np.uint8), scale, None)


def pack_eight_bits(raw: Array) -> Packed:
    """Return a matrix of `Q8_0`, without loss.

    Args:
        raw: uint8 [N, B * 34]: a block is a float16, then 32 signed bytes.
    """
    blocks = raw.reshape(len(raw), -1, 34)
    scales = np.ascontiguousarray(blocks[..., :2]).view("<f2").astype(np.float32)[..., 0]
    return Packed(blocks[..., 2:] ^ 128, scales, None)  # two's complement to an offset of 128


def narrow(raw: Array) -> Packed:
    """Return a matrix of `Q8_0` in four bits around a zero of 8: half the bytes, and much is lost.

    Args:
        raw: As of `pack_eight_bits`.
    """
    eight = pack_eight_bits(raw)
    values = (eight.codes.astype(np.float64) - 128) * eight.scales[..., None]  # (N, B, 32), exact
    scale = np.abs(values).max(axis=-1) / 7
    safe = np.where(scale == 0, 1, scale)[..., None]
    codes = np.clip(np.rint(values / safe) + 8, 0, _MOST)
    fit = _fitted(values, codes, np.full(scale.shape, 8.0))
    codes = fit.codes.astype(np.uint8)
    return Packed(codes[..., 0::2] | codes[..., 1::2] << 4, fit.scale.astype(np.float32), None)


class _Fit(NamedTuple):
    codes: Array  # (N, B, 32)
    scale: Array  # (N, B)
    zero: Array  # (N, B)
    error: Array  # (N, B), squared


def _fitted(values: Array, codes: Array, zero: Array) -> _Fit:
    """Return the best codes and scale for a zero."""
    scale = zero
    for _ in range(2):
        distance = codes - zero[..., None]
        weight = _summed(distance * distance)
        scale = _summed(values * distance) / np.where(weight == 0, 1, weight)
        safe = np.where(scale == 0, 1, scale)
        codes = np.clip(np.rint(values / safe[..., None]) + zero[..., None], 0, _MOST)
    error = values - scale[..., None] * (codes - zero[..., None])
    return _Fit(codes, scale, zero, _summed(error * error))


def _summed(array: Array) -> Array:
    total = array[..., 0].copy()
    for at in range(1, array.shape[-1]):
        total += array[..., at]
    return total


def _paired(zero: Array) -> Array:
    even = zero.astype(np.uint8)
    if even.shape[1] % 2:
        even = np.pad(even, ((0, 0), (0, 1)))
    return np.ascontiguousarray(even[:, 0::2] | even[:, 1::2] << 4)
