"""What a model is measured by: its trainer, or the module `evaluate` of a model that nothing trains.

The latter (`hotplate_tools.models.<name>.evaluate`) has the trainer's `DATA`, `prepare`, `evaluate` and
`golden`, and `BARS`, which for a trainer are in `model.yaml`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from hotplate_tools.naming import module_name
from hotplate_tools.publish.model_yaml import read_spec
from hotplate_tools.training.driver import read_trained_spec
from hotplate_tools.training.stored import source_folder
from hotplate_tools.training.trainer import load_trainer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.publish.model_yaml import ModelSpec
    from hotplate_tools.training.trainer import Evaluation

__all__ = ["Measured", "read_measured"]


@dataclass(frozen=True, slots=True)
class Measured:
    """How a model is measured.

    Attributes:
        spec: Its `model.yaml`.
        evaluation: The module that asks and judges.
        bars: Least value of each metric that has one.
    """

    spec: ModelSpec
    evaluation: Evaluation
    bars: Mapping[str, float]


def read_measured(name: str) -> Measured:
    """Return how the model of this name is measured.

    Raises:
        RefusedError: No such model comes with the project, or nothing measures it.
    """
    folder = source_folder(name)
    if (folder / "evaluate.py").is_file():
        module = importlib.import_module(f"hotplate_tools.models.{module_name(name)}.evaluate")
        return Measured(read_spec(folder / "model.yaml"), cast("Evaluation", module), module.BARS)
    spec, training = read_trained_spec(name)
    return Measured(spec, load_trainer(module_name(name)), training.bars)
