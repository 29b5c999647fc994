"""Recurrent layers of PyTorch as the recurrent operators of ONNX, so that any length stays open.

`torch.export` follows an RNN, LSTM or GRU step by step, so its graph has the example's length baked
in. A copy of the module with each such layer replaced by `Recurrent` is exported instead; the module
itself stays the reference of the parity gate, which so compares one with the other at other lengths.

Source: ONNX, operators RNN, LSTM and GRU; PyTorch, `torch.nn.RNN`, `LSTM` and `GRU`.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from wire import Refusal

__all__ = ["Recurrent", "with_onnx_recurrence"]

# PyTorch's blocks of weights in the order of ONNX: (i, f, g, o) → (i, o, f, c); (r, z, n) → (z, r, h).
_BLOCKS = {"RNN": (0,), "LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}
_VERSION = 14


def with_onnx_recurrence(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy whose recurrent layers are `Recurrent`; the module itself if it has none.

    Layers with projections (`proj_size`), which ONNX does not have, are left as they are.
    """
    found = [name for name, layer in module.named_modules() if _is_known(layer)]
    if not found:
        return module
    changed = copy.deepcopy(module)
    for name in found:
        if not name:
            return Recurrent(changed)
        parent, _, last = name.rpartition(".")
        setattr(changed.get_submodule(parent), last, Recurrent(changed.get_submodule(name)))
    return changed.eval()


def _is_known(layer: torch.nn.Module) -> bool:
    kinds = (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU)
    return type(layer) in kinds and not layer.proj_size


class Recurrent(torch.nn.Module):  # type: ignore[misc]  # PyTorch is not where types are checked
    """What stands for one recurrent layer while it is exported.

    Axes: T steps, N sequences, D directions, H hidden units.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self.kind = type(layer).__name__
        self.directions = 2 if layer.bidirectional else 1
        for depth in range(layer.num_layers):
            for name, tensor in self._weights(depth).items():
                self.register_buffer(f"{name}{depth}", tensor)

    # The names are PyTorch's, because a layer may be called by them.
    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        """Return what the layer returns; `input` is (N, T, features) or (T, N, features), never packed."""
        if input.dim() != 3:
            raise Refusal(
                f"a {self.kind} is given {input.dim()} axes in the module",
                "Give it three: with a batch, also where that is one sequence.",
            )
        steps = input.transpose(0, 1) if self.layer.batch_first else input  # (T, N, features)
        states: list[list[Any]] = []
        for depth in range(self.layer.num_layers):
            steps, *ends = self._one(depth, steps, hx)
            states.append(ends)
        out = steps.transpose(0, 1) if self.layer.batch_first else steps
        last = [torch.cat(list(each), dim=0) for each in zip(*states, strict=True)]
        return out, (tuple(last) if self.kind == "LSTM" else last[0])

    def _one(self, depth: int, steps: Any, initial: Any) -> tuple[Any, ...]:
        hidden = self.layer.hidden_size
        length, batch = steps.shape[0], steps.shape[1]
        rows = slice(depth * self.directions, (depth + 1) * self.directions)
        given = initial if isinstance(initial, tuple) else (initial,)
        starts = [None if each is None else each[rows] for each in given]
        starts += [None] * ((2 if self.kind == "LSTM" else 1) - len(starts))
        shapes = [[length, self.directions, batch, hidden], *[[self.directions, batch, hidden]] * len(starts)]
        outputs = torch.onnx.ops.symbolic_multi_out(
            self.kind,
            [steps, *(getattr(self, f"{name}{depth}") for name in "WRB"), None, *starts],
            self._attributes(),
            dtypes=[steps.dtype] * len(shapes),
            shapes=shapes,
            version=_VERSION,
        )
        told = outputs[0].permute(0, 2, 1, 3).reshape(length, batch, self.directions * hidden)
        return told, *outputs[1:]

    def _attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "hidden_size": self.layer.hidden_size,
            "direction": "bidirectional" if self.directions == 2 else "forward",
        }
        if self.kind == "GRU":
            found["linear_before_reset"] = 1
        if self.kind == "RNN":
            found["activations"] = [self.layer.nonlinearity.capitalize()] * self.directions
        return found

    def _weights(self, depth: int) -> dict[str, Any]:
        """Return W (D, blocks * H, features), R (D, blocks * H, H) and B (D, 2 * blocks * H)."""
        hidden = self.layer.hidden_size
        parts: dict[str, list[Any]] = {"W": [], "R": [], "B": []}
        for suffix in ("", "_reverse")[: self.directions]:
            kernel, recurrent = (
                self._ordered(getattr(self.layer, f"weight_{which}_l{depth}{suffix}"))
                for which in ("ih", "hh")
            )
            biases = [torch.zeros(2 * len(_BLOCKS[self.kind]) * hidden)]
            if self.layer.bias:
                names = (f"bias_{which}_l{depth}{suffix}" for which in ("ih", "hh"))
                biases = [self._ordered(getattr(self.layer, name)) for name in names]
            parts["W"].append(kernel)
            parts["R"].append(recurrent)
            parts["B"].append(torch.cat(biases))
        return {name: torch.stack(tensors) for name, tensors in parts.items()}

    def _ordered(self, tensor: Any) -> Any:
        blocks = tensor.detach().chunk(len(_BLOCKS[self.kind]))
        return torch.cat([blocks[index] for index in _BLOCKS[self.kind]])
