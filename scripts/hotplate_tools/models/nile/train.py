"""The trainer of the nile network, published by its factory: `hotplate train nile`."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.training.packages import Package, read_member
from hotplate_tools.training.trainer import ROWS

if TYPE_CHECKING:
    from hotplate_tools.models.nile.network import FlowNetwork
    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "evaluate", "export", "golden", "prepare", "train"]

DATA = (
    Package(
        "pypi",
        "statsmodels",
        "0.15.0",
        "c6f2bd48915cc9b3b95c3c7f6ac363b6f8aaa38172962ba5f7f6885f0dfe57f2",
        "statsmodels-0.15.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
    ),
)
NOTE = "flow of the Nile at Aswan, 1871 to 1970; trained on 1871 to 1940, asked for each year after"
SEED = 3

HELD_OUT = 30
STEPS = 300
BATCH = 32
WINDOW, WINDOWS = 40, 3
LEARNING_RATE = 5e-3

# In deviations of the training years. Chosen by the error of 1921 to 1940, trained up to 1920.
NOISE, MOVE = 1.0, 0.5

# Before so many years nothing is asked of the network.
SETTLING = 5


def prepare(packages: Sequence[Path]) -> tuple[Array, Arrays]:
    """Return the flows to train on, float32 [70]; held out: `flow`, all 100 of them."""
    raw = read_member(packages[0], "statsmodels/datasets/nile/nile.csv").decode()
    flow = np.array([float(row["volume"]) for row in csv.DictReader(io.StringIO(raw))], np.float32)
    return flow[:-HELD_OUT], {"flow": flow}


def build(training: Array) -> FlowNetwork:
    """Return the untrained network; it knows mean and deviation of what it is trained on."""
    import torch

    from hotplate_tools.models.nile.network import FlowNetwork

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return FlowNetwork(float(training.mean()), float(training.std()))


def train(network: FlowNetwork, training: Array) -> None:
    """Fit the network in place.

    Seventy years are few. Each example is `WINDOWS` windows of them, one after the other, each moved as a
    whole and disturbed in every year, anew in every step: what is left to learn is how far a single year is
    to be believed, and to find the level again when it has moved.
    """
    import torch

    random = np.random.default_rng(SEED)
    scale = float(training.std())
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    network.train()
    for _ in range(STEPS):
        windows = torch.from_numpy(_windows(training, random, scale))  # (BATCH, years)
        told = network.after_each(windows[:, :-1])
        loss = torch.nn.functional.l1_loss(told[:, SETTLING - 1 :] / scale, windows[:, SETTLING:] / scale)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    network.eval()


def export(network: FlowNetwork, training: Array, held_out: Arrays, folder: Path) -> str:
    """Write the weights, the network's module beside them, and rows for the parity gate."""
    from hotplate_tools.models.nile import network as module

    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    np.savez(folder / "weights.npz", **weights)
    shutil.copyfile(str(module.__file__), folder / "network.py")
    flow = held_out["flow"]
    np.savez(folder / ROWS, flow=np.stack([flow[start : start + 50] for start in range(0, 50, 5)]))
    return "network:make"


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return the mean error of each held-out year's forecast from all years before it.

    `skill` is the share of the error that is saved against saying the last year's flow again;
    `skill_after_ten_years` the same where only the last ten years are sent.
    """
    flow = held_out["flow"]
    years = range(len(flow) - HELD_OUT, len(flow))
    naive = np.mean([abs(flow[year] - flow[year - 1]) for year in years])
    metrics = {"mean_absolute_error_of_last_value": float(naive)}
    for name, kept in (("", len(flow)), ("_after_ten_years", 10)):
        errors = [
            abs(ask({"flow": flow[None, max(0, year - kept) : year]})["next_flow"][0, 0] - flow[year])
            for year in years
        ]
        metrics[f"mean_absolute_error{name}"] = float(np.mean(errors))
        metrics[f"skill{name}"] = float(1 - np.mean(errors) / naive)
    return metrics


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return series of four lengths, one of them a batch."""
    flow = held_out["flow"]
    one = [{"flow": flow[None, :years]} for years in (1, 17, 99)]
    return [*one, {"flow": np.stack([flow[start : start + 23] for start in (0, 30, 60)])}]


def _windows(flow: Array, random: np.random.Generator, scale: float) -> Array:
    """Return windows of the series, moved and disturbed, float32 [BATCH, WINDOWS * WINDOW]."""
    starts = random.integers(0, len(flow) - WINDOW + 1, (BATCH, WINDOWS, 1))
    windows: Array = flow[starts + np.arange(WINDOW)].astype(np.float64)  # (BATCH, WINDOWS, WINDOW)
    windows += random.normal(0, MOVE * scale, (BATCH, WINDOWS, 1))
    windows += random.normal(0, NOISE * scale, windows.shape)
    joined: Array = windows.reshape(BATCH, WINDOWS * WINDOW).astype(np.float32)
    return joined
