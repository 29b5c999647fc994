"""Factories of tiny PyTorch modules; run with a folder it saves programs of them, and their answers."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch.export import Dim


class Pool(torch.nn.Module):
    """Mean of embeddings, then scores; any batch, any length."""

    def __init__(self):
        super().__init__()
        self.table, self.dense = torch.nn.Embedding(10, 4), torch.nn.Linear(4, 3)

    def forward(self, ids):
        return self.dense(self.table(ids).mean(1))


class Frozen(torch.nn.Module):
    """Right at every length; but tracing follows one branch, and that holds the example's length."""

    def __init__(self):
        super().__init__()
        self.dense = torch.nn.Linear(4, 3)

    def forward(self, x):
        length = x.shape[1]
        mask = torch.tril(torch.ones(7, 7)) if length == 7 else torch.tril(torch.ones(length, length))
        return self.dense(mask @ x)


class Recurrent(torch.nn.Module):
    """One of each recurrent layer: both directions, two deep, with and without bias, a state from another."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = torch.nn.GRU(8, 5, bias=False)
        self.rnn = torch.nn.RNN(5, 5, nonlinearity="relu", batch_first=True)

    def forward(self, x):
        told, (state, cell) = self.lstm(x)
        told, last = self.gru(told.transpose(0, 1))
        told, end = self.rnn(told.transpose(0, 1), last)
        return torch.cat([told[:, -1], end[0], state[3], cell[0]], dim=1)


def recurrent():
    torch.manual_seed(0)
    shapes = {"x": {0: Dim("batch"), 1: Dim("length")}}
    return Recurrent(), {"x": torch.ones(2, 7, 3)}, shapes


def pool():
    torch.manual_seed(0)
    shapes = {"ids": {0: Dim("batch"), 1: Dim("length")}}
    return Pool(), {"ids": torch.ones(2, 7, dtype=torch.int64)}, shapes


def dense():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)), (
        torch.ones(1, 4),
    )


def frozen():
    return Frozen(), {"x": torch.randn(2, 7, 4)}, {"x": {0: Dim.AUTO, 1: Dim.AUTO}}


def nothing():
    return None


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    module, example, shapes = pool()
    program = torch.export.export(module.eval(), (), kwargs=example, dynamic_shapes=shapes)
    torch.export.save(program, folder / "pool.pt2")
    ids = torch.arange(10).reshape(2, 5)
    np.savez(folder / "pool.npz", in_ids=ids.numpy(), out_=module(ids).detach().numpy())
    module = recurrent()[0].eval()
    steps = torch.linspace(-1, 1, 4 * 11 * 3).reshape(4, 11, 3)
    np.savez(folder / "recurrent.npz", in_x=steps.numpy(), out_=module(steps).detach().numpy())
    module, _ = dense()
    rows = torch.linspace(-1, 1, 12).reshape(3, 4)
    np.savez(folder / "dense.npz", in_input=rows.numpy(), out_=module(rows).detach().numpy())
    torch.export.save(torch.export.export(module.eval(), (torch.ones(2, 4),)), folder / "fixed.pt2")
