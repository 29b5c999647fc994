"""`hotplate train` as one call: from packages to a source folder that is published as it is.

    fetch → prepare, build, train, export, compare (in the framework's environment) → convert, parity gate
          → evaluate, against the bars → golden rows → describe → write

What is measured is the converted graph between the function's own steps, as it will serve. A program is not
converted: its own code is measured, in its function's own environment, and there is no parity. A result
under a bar, or one that could not be published, is refused before anything is written.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from hotplate_tools.environments import cache_root, ensure
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.naming import module_name
from hotplate_tools.project import project_root
from hotplate_tools.publish.golden import line_of
from hotplate_tools.publish.model_yaml import read_spec
from hotplate_tools.publish.program import function_converter, functions_root
from hotplate_tools.training import child
from hotplate_tools.training.answering import answering
from hotplate_tools.training.packages import fetch
from hotplate_tools.training.pipelines import asking_pipeline, built_members
from hotplate_tools.training.result import (
    Made,
    Written,
    folder_files,
    pipeline_files,
    provenance_of,
    write,
)
from hotplate_tools.training.stored import source_folder
from hotplate_tools.training.trainer import load_trainer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate_tools.console import Console
    from hotplate_tools.publish.model_yaml import ModelSpec, TrainingSpec
    from hotplate_tools.training.trainer import Evaluation

__all__ = ["Trained", "fetched", "read_trained_spec", "refuse_under", "train"]

# Nothing of this process's Python leaks into the child.
_SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUNBUFFERED": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
}
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")


@dataclass(frozen=True, slots=True)
class Trained:
    """What was made.

    Attributes:
        name: Of the model.
        metrics: On held-out rows, by the graph that will serve.
        bars: The least that was asked of them.
        seconds: Of each step in the framework's environment.
        written: What it is published as, and where it lies (or would, after a dry run).
    """

    name: str
    metrics: Mapping[str, float]
    bars: Mapping[str, float]
    seconds: Mapping[str, float]
    written: Written


def train(name: str, *, dry_run: bool, console: Console) -> Trained:
    """Train the model that comes with the project under this name, and write what it is published from.

    Args:
        name: Of the model.
        dry_run: Do all of it but write nothing.
        console: Told while it works.

    Raises:
        RefusedError: It is under a bar, its conversion changes answers, or it could not be published.
        FailedError: Data or an environment cannot be had, or the trainer failed.
    """
    spec, training = read_trained_spec(name)
    if spec.kind == "pipeline":
        return _pipeline(spec, training, dry_run=dry_run, console=console)
    trainer = load_trainer(module_name(name))
    packages = fetched(trainer, console)
    held_out = trainer.prepare(packages)[1]
    with tempfile.TemporaryDirectory(prefix="hotplate-train-") as scratch:
        made, work = Path(scratch) / "made", Path(scratch) / "work"
        made.mkdir()
        work.mkdir()
        seconds = _run(name, training, packages, made, console)
        report = orjson.loads((made / child.REPORT).read_bytes())
        artefact = report["artefact"]
        with answering(spec, made, artefact, work, console) as model:
            with console.step("Evaluating on held-out rows"):
                measured = trainer.evaluate(model.ask, held_out) | report["metrics"]
                metrics = {metric: round(value, 4) for metric, value in measured.items()}
            refuse_under(training.bars, metrics)
            rows = [line_of(inputs, model.ask(inputs)) for inputs in trainer.golden(model.ask, held_out)]
        result = Made(spec, made, artefact, model.graph, model.parity, model.assets, b"".join(rows))
        files = folder_files(result, provenance_of(trainer, spec.name, model.parity, metrics))
        with console.step("Checking what is published from it"):
            written = write(spec, files, dry_run=dry_run)
    return Trained(name, metrics, training.bars, seconds, written)


def _pipeline(spec: ModelSpec, training: TrainingSpec, *, dry_run: bool, console: Console) -> Trained:
    """Hold a pipeline of members that are built against its bars, and write its assets and golden rows."""
    trainer = load_trainer(module_name(spec.name))
    made, held_out = trainer.prepare(fetched(trainer, console))
    members = built_members(spec)
    assets = {path: made[path] for path in spec.assets}
    ask = asking_pipeline(spec, assets, members)
    with console.step("Evaluating on held-out rows"):
        metrics = {metric: round(value, 4) for metric, value in trainer.evaluate(ask, held_out).items()}
    refuse_under(training.bars, metrics)
    rows = b"".join(line_of(inputs, ask(inputs)) for inputs in trainer.golden(ask, held_out))
    files = pipeline_files(spec, assets, rows, provenance_of(trainer, spec.name, None, metrics))
    with console.step("Checking what is published from it"):
        written = write(spec, files, dry_run=dry_run, members=members)
    return Trained(spec.name, metrics, training.bars, {}, written)


def read_trained_spec(name: str) -> tuple[ModelSpec, TrainingSpec]:
    """Return what `model.yaml` of a model says, and its section `training`.

    Raises:
        RefusedError: There is no such model, or nothing trains it.
    """
    file = source_folder(name) / "model.yaml"
    if not file.is_file():
        raise RefusedError(f"no model {name!r} comes with this project")
    spec = read_spec(file)
    if spec.training is None:
        raise RefusedError(
            f"nothing trains {name}: its model.yaml has no section `training`",
            advice="docs/08-training.md says what a trainer is.",
        )
    return spec, spec.training


def fetched(evaluation: Evaluation, console: Console) -> list[Path]:
    """Return the files of the packages that the data is in, fetched where they are not kept already."""
    found = []
    for package in evaluation.DATA:
        with console.step(f"Fetching {package}"):
            found.append(fetch(package, cache_root() / "data"))
    return found


def refuse_under(bars: Mapping[str, float], metrics: Mapping[str, float]) -> None:
    """Raise if a metric is under its bar, NaN, or absent.

    Raises:
        RefusedError: Naming each.
    """
    # NaN compares false with everything, so it is under every bar.
    under = [name for name, bar in bars.items() if not metrics.get(name, float("nan")) >= bar]
    if under:
        lines = ", ".join(f"{name} {metrics.get(name, 'not measured')} < {bars[name]}" for name in under)
        raise RefusedError(
            f"under the bar on held-out rows: {lines}. Nothing was written.",
            advice="The bars are in model.yaml, the measuring in the trainer's `evaluate`.",
        )


def _run(
    name: str, training: TrainingSpec, packages: Sequence[Path], folder: Path, console: Console
) -> dict[str, float]:
    """Run the steps of the framework; return how long each took, in seconds."""
    title, binaries = _environment(name, training, console)
    root = project_root()
    paths = [root / "scripts", root / "layers" / "serving" / "python", root]
    environment = {each: os.environ[each] for each in _KEPT if each in os.environ} | _SETTINGS
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, paths)), "KERAS_HOME": str(folder.parent)}
    command = [str(binaries / "python"), child.__file__, module_name(name), str(folder), *map(str, packages)]
    seconds, tail = {}, deque[str](maxlen=12)
    with (
        console.step(f"Training {name} ({title})"),
        subprocess.Popen(
            command,
            cwd=folder.parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            if line.startswith(child.MARK):
                event = orjson.loads(line[1:])
                seconds[event["step"]] = event["seconds"]
                console.say(f"  {event['step']} {event['seconds']} s")
            else:
                tail.append(line.rstrip())
                console.say(f"    {line.rstrip()}")
    if process.returncode:
        said = "\n".join(tail)
        raise FailedError(f"the trainer of {name} ended with code {process.returncode}:\n{said}")
    return seconds


def _environment(name: str, training: TrainingSpec, console: Console) -> tuple[str, Path]:
    """Return what the steps of the framework run in: its name, and its folder `bin`."""
    if training.environment is None:  # a program's own requirements are its framework
        own = function_converter(functions_root(), name)
        binaries = ensure(own.environment, console, python=own.python, requirements=own.requirements)
        return own.environment, binaries
    python = training.python or sys.executable
    binaries = ensure(training.environment, console, python=python, by_pip=training.by_pip)
    return training.environment, binaries
