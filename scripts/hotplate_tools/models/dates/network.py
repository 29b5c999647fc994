"""The dates network: PyTorch's Transformer, bytes in, digits out. PyTorch alone is imported.

Axes: N texts, S bytes of the longest, T digits written so far, D features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["DateNetwork"]

D = 64
HEADS = 4
WIDTH = 128
ENCODER_LAYERS, DECODER_LAYERS = 2, 1
BYTES = 257  # 0 stands where a text has ended
DIGITS = 10  # and one more, that stands before the first


class DateNetwork(nn.Module):  # type: ignore[misc]  # PyTorch is not where types are checked
    """Says the next of the eight digits of a date, for each of those written so far."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = nn.Embedding(BYTES, D)
        self.digits = nn.Embedding(DIGITS + 1, D)
        options = {"dropout": 0.0, "batch_first": True, "norm_first": True}
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(D, HEADS, WIDTH, **options),
            ENCODER_LAYERS,
            norm=nn.LayerNorm(D),
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(D, HEADS, WIDTH, **options), DECODER_LAYERS, norm=nn.LayerNorm(D)
        )
        self.head = nn.Linear(D, DIGITS)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the scores of each next digit.

        Args:
            source: int64 [N, S], bytes plus 1, then 0 to the end.
            target: int64 [N, T], `DIGITS` first, then digits.

        Returns:
            float32 [N, T, 10].
        """
        ended = source == 0
        length = target.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=target.device).triu(1)
        memory = self.encoder(self.bytes(source) + _positions(source), src_key_padding_mask=ended)
        told = self.decoder(
            self.digits(target) + _positions(target),
            memory,
            tgt_mask=later,
            tgt_is_causal=True,
            memory_key_padding_mask=ended,
        )
        scores: Tensor = self.head(told)  # (N, T, 10)
        return scores


def _positions(ids: Tensor) -> Tensor:
    """Return sines and cosines of each place, float32 [length, D]; no table, so no greatest length.

    Source: Vaswani et al., "Attention Is All You Need", 3.5.
    """
    place = torch.arange(ids.shape[1], device=ids.device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, D, 2, device=ids.device, dtype=torch.float32) * (-math.log(1e4) / D))
    return torch.cat([torch.sin(place * rate), torch.cos(place * rate)], dim=1)
