"""The held-out rows asked of an endpoint: the trainer's own metric, by the lines that measured the graph.

What comes back is what a caller sees, so it differs from `provenance.metrics` only if something
between the graph and the caller changes answers.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.protocol.types import Tensor
from hotplate_tools.infer import Answer, infer
from hotplate_tools.training.driver import fetched, read_trained_spec
from hotplate_tools.training.evaluation import read_measured
from hotplate_tools.training.stored import member_names, model_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.console import Console
    from hotplate_tools.publish.model_yaml import ModelSpec
    from hotplate_tools.training.trainer import Arrays

__all__ = ["Evaluated", "evaluate_served"]

WARM_REQUESTS = 20


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an endpoint answered.

    Attributes:
        name, task: Of the model.
        version: That answered.
        metrics: On the held-out rows.
        bars: The least asked of them.
        size: Of the graph and its weights, or the spaCy pipeline, the assets and the members, in bytes.
        cold_ms: All phases of the cold start; None if the first answer came from a warm function.
        warm_ms: What the function took for the first golden input when warm, median.
        waited_ms: How long the caller waited for that, median.
    """

    name: str
    task: str
    version: str
    metrics: Mapping[str, float]
    bars: Mapping[str, float]
    size: int
    cold_ms: float | None
    warm_ms: float
    waited_ms: float

    @property
    def under(self) -> list[str]:
        """Metrics under their bars."""
        return [name for name, bar in self.bars.items() if not self.metrics[name] >= bar]


def evaluate_served(name: str, url: str, console: Console) -> Evaluated:
    """Return what the model answers to its trainer's held-out rows.

    Args:
        name: Of a model that comes with the project.
        url: Of the API; ends before `/v2`.
        console: Told while it works.

    Raises:
        RefusedError: Nothing measures it.
        FailedError: Its data cannot be had, or the endpoint does not answer.
    """
    measured = read_measured(name)
    spec, trainer = measured.spec, measured.evaluation
    held_out = trainer.prepare(fetched(trainer, console))[1]
    answers: list[Answer] = []

    def ask(inputs: Arrays) -> Arrays:
        answers.append(infer(url, name, _tensors(spec, inputs)))
        return answers[-1].outputs

    with console.step(f"Asking {name} its held-out rows"):
        sample = trainer.golden(ask, held_out)[0]
        metrics = {metric: round(value, 4) for metric, value in trainer.evaluate(ask, held_out).items()}
        warm = [infer(url, name, _tensors(spec, sample)) for _ in range(WARM_REQUESTS)]
    cold = answers[0].cold_ms
    return Evaluated(
        name=name,
        task=spec.task,
        version=answers[0].version,
        metrics=metrics,
        bars=measured.bars,
        size=_size(name, spec),
        cold_ms=round(sum(cold.values()), 1) if cold else None,
        warm_ms=round(statistics.median(answer.timings_ms["total"] for answer in warm), 2),
        waited_ms=round(statistics.median(answer.waited_ms for answer in warm), 1),
    )


def _tensors(spec: ModelSpec, inputs: Arrays) -> list[Tensor]:
    datatypes = {tensor.name: tensor.datatype for tensor in spec.inputs}
    return [Tensor(name, datatypes[name], array) for name, array in inputs.items()]


def _size(name: str, spec: ModelSpec) -> int:
    members = sum(_size(member, read_trained_spec(member)[0]) for member in member_names(spec))
    folder = model_folder(name)
    named = [folder / name for name in (spec.artefact, *spec.assets) if name]
    files = {file for part in named for file in (part.rglob("*") if part.is_dir() else [part])}
    files |= set(folder.glob("*.onnx.data"))
    return members + sum(file.stat().st_size for file in files if file.is_file())
