"""Four-bit weights that give the products of the file's weights, on what the network computes with.

Rounding each weight to the nearest code keeps the weights and loses the products. Here columns are rounded
one after the other, and what one loses is made good by those that come after it, as far as what they are
multiplied with goes together. What that is, texts tell: `Moments` adds up which numbers of a product's input
come together, in the network of the file itself.

The same file gives the same codes on one machine; another processor adds in another order, and may round a
few otherwise.

Axes: N outputs, K inputs, B blocks of a row.

Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers"
(2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hotplate_tools.models.smollm2.blocks import BLOCK, Packed, in_four_bits

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

__all__ = ["Moments", "calibrated"]

_MOST = 15  # of four bits
# Added to each input's own moment, as a share of their mean: inputs that never came would have none.
_DAMPING = 0.02
# Shares of a block's range that its codes may cover; what lies outside is cut off.
_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)


class Moments:
    """Sums of products of each two inputs, float64 [K, K], by the name of a product."""

    def __init__(self) -> None:
        self._sums: dict[str, Array] = {}

    def see(self, product: str, rows: Array) -> None:
        """Add rows of its input, [S, K]."""
        wide = rows.astype(np.float64)
        self._sums[product] = self._sums.get(product, 0) + wide.T @ wide

    def of(self, product: str) -> Array:
        """Return its sums."""
        return self._sums[product]


class _Scale(NamedTuple):
    scale: Array  # (N,)
    zero: Array  # (N,)


def calibrated(values: Array, moments: Array) -> Packed:
    """Return a matrix in four bits.

    Args:
        values: float64 [N, K], K a multiple of `BLOCK`.
        moments: float64 [K, K], of its input.
    """
    rows, columns = values.shape
    left, shares = values.copy(), _shares(moments)
    own = np.diag(moments)
    codes = np.empty((rows, columns), np.uint8)
    fits = []
    for start in range(0, columns, BLOCK):
        end = start + BLOCK
        fit = _scale_of(left[:, start:end], own[start:end])
        lost = np.empty((rows, BLOCK))
        for column in range(start, end):
            code = _rounded(left[:, column], fit)
            codes[:, column] = code
            lost[:, column - start] = (left[:, column] - fit.scale * (code - fit.zero)) / shares[
                column, column
            ]
            ahead = slice(column + 1, end)
            left[:, ahead] -= np.outer(lost[:, column - start], shares[column, ahead])
        left[:, end:] -= lost @ shares[start:end, end:]
        fits.append(fit)
    scales = np.stack([fit.scale for fit in fits], axis=-1)
    return in_four_bits(codes.reshape(rows, -1, BLOCK), scales, np.stack([fit.zero for fit in fits], axis=-1))


def _shares(moments: Array) -> Array:
    """Return how what a column loses is shared out among those after it, [K, K], upper triangular."""
    damped = moments + np.diag(np.full(len(moments), _DAMPING * np.diag(moments).mean()))
    shares: Array = np.linalg.cholesky(np.linalg.inv(damped)).T
    return shares


def _rounded(values: Array, fit: _Scale) -> Array:
    code: Array = np.clip(np.rint(values / fit.scale) + fit.zero, 0, _MOST)
    return code


def _scale_of(values: Array, own: Array) -> _Scale:
    """Return scale and zero of a block's rows, [N, BLOCK], the best of some by what each input weighs."""
    least, most = np.minimum(values.min(axis=-1), 0), np.maximum(values.max(axis=-1), 0)
    found: list[tuple[Array, _Scale]] = []
    for share in _SHARES:
        # Not quite zero for a block of nothing, which any scale gives.
        scale = np.maximum((most - least) * share / _MOST, 1e-12)
        zero = np.clip(np.rint(-least * share / scale), 0, _MOST)
        steps = _rounded(values.T, _Scale(scale, zero)).T - zero[:, None]
        weight = (steps * steps * own).sum(axis=-1)
        best = (values * steps * own).sum(axis=-1) / np.where(weight == 0, 1, weight)
        # As it is kept: what is lost by that is shared out too.
        best = np.where(best > 0, best, scale).astype(np.float32).astype(np.float64)
        fit = _Scale(best, zero)
        error = values - best[:, None] * (_rounded(values.T, fit).T - zero[:, None])
        found.append(((error * error * own).sum(axis=-1), fit))
    chosen = np.argmin([error for error, _ in found], axis=0)
    at = np.arange(len(values))
    scales, zeros = (np.array([fit[part] for _, fit in found]) for part in (0, 1))
    return _Scale(scales[chosen, at], zeros[chosen, at])
