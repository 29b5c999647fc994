"""The nile network: PyTorch's RNN and a linear layer. Imports PyTorch alone, and NumPy for its weights.

`make` is what `hotplate publish` calls (`network:make`, with `weights.npz` beside this file).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["FlowNetwork", "make"]

HIDDEN = 8


class FlowNetwork(nn.Module):  # type: ignore[misc]  # PyTorch is not where types are checked
    """Says the next flow from all that came before. Axes: N series, T years, H hidden units."""

    def __init__(self, mean: float, scale: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.rnn = nn.RNN(1, HIDDEN, batch_first=True)
        self.linear = nn.Linear(HIDDEN, 1)

    def forward(self, flow: Tensor) -> Tensor:
        """Return the flow of the year after the last, float32 [N, 1], for `flow` float32 [N, T]."""
        return self.after_each(flow)[:, -1:]

    def after_each(self, flow: Tensor) -> Tensor:
        """Return what comes after each year, float32 [N, T]."""
        told, _ = self.rnn(((flow - self.mean) / self.scale).unsqueeze(-1))  # (N, T, H)
        after: Tensor = self.linear(told).squeeze(-1) * self.scale + self.mean
        return after


def make() -> tuple[nn.Module, dict[str, Tensor], dict[str, Any]]:
    """Return the trained network, an example of two series of 30 years, and which axes are open."""
    network = FlowNetwork(0.0, 1.0)
    with np.load(Path(__file__).with_name("weights.npz"), allow_pickle=False) as file:
        network.load_state_dict({name: torch.from_numpy(file[name]) for name in file.files})
    shapes = {"flow": {0: torch.export.Dim("series"), 1: torch.export.Dim("years")}}
    return network.eval(), {"flow": torch.full((2, 30), 900.0)}, shapes
