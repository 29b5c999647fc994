"""What a trainer is: the module `hotplate_tools.models.<name>.train`, a few steps and a few golden inputs.

    DATA      the packages that the data is in
    SEED      of everything that is drawn
    NOTE      what the data is and how it is split, for the provenance
    prepare   packages → (training, held out)
    build     training → a network, untrained
    train     fits it; left out where the weights are in a package
    export    writes the framework's own file, the assets and rows for the parity gate
    compare   the publisher's own program against ours → metrics; left out where there is no such program
    evaluate  asks the held-out rows → metrics
    golden    asks → inputs whose answers every later version must give

Where the weights are in a package, `build` returns them, and the publisher's own program if it has one.

Rules kept here:

1. `prepare`, `evaluate` and `golden` need NumPy, Pillow, this package and `functions.<name>.model`
   alone: the command line runs them itself, and `hotplate evaluate` asks an endpoint by them.
2. `build`, `train`, `export` and `compare` run in the environment that `model.yaml` names, in one
   process; the framework is imported inside of them.
3. `evaluate` knows public inputs and outputs only. It cannot tell a session on this machine from an
   endpoint, so both are measured by the same lines.

NumPy and the standard library only; Python 3.11 too, because some frameworks' builds need it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

if TYPE_CHECKING:
    from hotplate.runtime.transforms import Transforms
    from hotplate_tools.training.packages import Package

    Array = np.ndarray[Any, Any]
    Arrays = Mapping[str, Array]
    Ask = Callable[[Arrays], Arrays]

__all__ = ["ROWS", "Evaluation", "Trainer", "ask_here", "ask_in_batches", "load_trainer", "objects"]

# What `export` calls the rows for the parity gate: an array an input of the graph, rows first.
ROWS = "rows.npz"


class Evaluation(Protocol):
    """What a model is measured by: a part of every trainer, or all there is where nothing is trained."""

    DATA: Sequence[Package]

    def prepare(self, packages: Sequence[Path]) -> tuple[Any, Arrays]:
        """Return (training, held out) of the fetched `DATA`, the same on every machine, every time.

        The held-out part is public inputs and what is right for them, as arrays by name.
        """

    def evaluate(self, ask: Ask, held_out: Arrays) -> dict[str, float]:
        """Return the metrics; those that `model.yaml` has bars for are larger where they are better."""

    def golden(self, ask: Ask, held_out: Arrays) -> Sequence[Arrays]:
        """Return the public inputs of the golden rows."""


class Trainer(Evaluation, Protocol):
    """The module; see above. It may have `train` and `compare` too.

    `train(network, training) -> None` fits the network in place. `compare(network, held_out, folder) ->
    dict[str, float]` asks the publisher's program and what `export` wrote in `folder`, refuses what is
    not as the card says (`FailedError`), and returns how well they agree, for the provenance.
    """

    SEED: int
    NOTE: str

    def build(self, training: Any) -> Any:
        """Return the untrained network, or the package's; every seed of the framework is set here."""

    def export(self, network: Any, training: Any, held_out: Arrays, folder: Path) -> str:
        """Write the framework's own file, the assets and `ROWS` into `folder`.

        Any other file that is written there becomes part of the source folder.

        Returns:
            What `hotplate publish` would be given, relative to `folder`: a file, or `module:factory`.
        """


def load_trainer(module: str) -> Trainer:
    """Return the trainer of the package `hotplate_tools.models.<module>`."""
    return cast("Trainer", importlib.import_module(f"hotplate_tools.models.{module}.train"))


def ask_here(graph: Path, transforms: Transforms) -> Ask:
    """Return what answers public inputs in a framework's environment, if that holds ONNX Runtime.

    Args:
        graph: The ONNX file.
        transforms: The function's steps.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]

    def run(feeds: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))

    return lambda inputs: transforms.apply(inputs, run)


def ask_in_batches(ask: Ask, inputs: Arrays, rows: int) -> dict[str, Array]:
    """Return the answers to all rows, asked `rows` at a time.

    Args:
        ask: Public inputs → public outputs, rows first in both.
        inputs: The first axis of each is the same number of rows.
        rows: In one call. An endpoint takes 6 MB in a call, and answers as much.
    """
    count = len(next(iter(inputs.values())))
    parts = [
        ask({name: array[start : start + rows] for name, array in inputs.items()})
        for start in range(0, count, rows)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def objects(elements: Iterable[bytes]) -> Array:
    """Return a BYTES tensor's array: object [N] of `bytes`."""
    cells = list(elements)
    array = np.empty(len(cells), object)
    array[:] = cells
    return array
