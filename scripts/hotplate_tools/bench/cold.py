"""How long does the first answer of a fresh environment take? `hotplate bench cold`.

Each round starts a fresh environment of each kind, one after the other, on AWS's Runtime Interface
Emulator, and times its first answer: init, and the request. hotplate's has hotplate's runtime, as in the
template, the others awslambdaric. Rounds are interleaved, so that a machine which gets busier does so for
all. The answers are compared with each other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.bench.graphs import write_encoder, write_mlp, write_resnet50
from hotplate_tools.bench.rivals import FLOOR, HOTPLATE, USUAL
from hotplate_tools.bench.stage import MODEL_VARIABLES, Stage, Staged, answer_of
from hotplate_tools.environments import cache_root
from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hotplate_tools.console import Console
    from hotplate_tools.local.rie import InvokeResult

    Array = np.ndarray[Any, Any]

__all__ = ["MODELS", "Cold", "Start", "bench_cold", "feeds_of", "phases_of", "request_events", "written"]

PROGRAMS = {"hotplate": HOTPLATE, "usual": USUAL, "floor": FLOOR}
TOLERANCE = 1e-4  # of the largest answer: another form of the same weights rounds otherwise


@dataclass(frozen=True, slots=True)
class _Kind:
    """A model to be started: how it is written, and what is asked."""

    write: Callable[[Path], None]
    name: str
    datatype: str
    shape: tuple[int, ...]


MODELS = {
    "small": _Kind(write_mlp, "x", "FP32", (1, 784)),
    "cnn-100mb": _Kind(write_resnet50, "x", "FP32", (1, 3, 224, 224)),
    "encoder-500mb": _Kind(write_encoder, "ids", "INT64", (1, 32)),
}


@dataclass(frozen=True, slots=True)
class Start:
    """One kind's starts.

    Attributes:
        wall_ms: From sending the first request to having its answer, one a round.
        phases_ms: Median by phase, where the kind tells.
    """

    wall_ms: list[float] = field(default_factory=list)
    phases_ms: dict[str, float] = field(default_factory=dict)

    @property
    def median_ms(self) -> float:
        """The figure that is compared."""
        return median(self.wall_ms)


@dataclass(frozen=True, slots=True)
class Cold:
    """What one model's cold starts took.

    Attributes:
        model: Key of `MODELS`.
        mbps: Of the link; None for no limit.
        source_bytes, fetched_bytes: What the usual handler, and what hotplate fetches.
        starts: By kind: `hotplate`, `usual`, `floor`, which is what nobody can do without.
    """

    model: str
    mbps: float | None
    source_bytes: int
    fetched_bytes: int
    starts: Mapping[str, Start]

    @property
    def times_faster(self) -> float:
        """The usual handler's time, in hotplate's."""
        return self.starts["usual"].median_ms / self.starts["hotplate"].median_ms

    @property
    def most_times_faster(self) -> float:
        """The usual handler's time, in that of imports and bytes alone: what is possible on this machine."""
        return self.starts["usual"].median_ms / self.starts["floor"].median_ms

    @property
    def transfer_ms(self) -> float | None:
        """What the link alone needs for what hotplate fetches; None without a limit."""
        return self.fetched_bytes * 8 / (self.mbps * 1e6) * 1000 if self.mbps else None


def bench_cold(model: str, *, rounds: int, mbps: float | None, console: Console) -> Cold:
    """Return how long the first answers of one model take.

    Raises:
        FailedError: A function did not answer, or the answers differ.
    """
    kind = MODELS[model]
    with Stage(console, mbps=mbps) as stage:
        with console.step(f"Publishing {model}"):
            staged = stage.publish(written(model, kind), model)
        events = request_events(kind, staged)
        starts = {name: Start() for name in events}
        phases: list[dict[str, float]] = []
        answers: dict[str, Array] = {}
        with console.step(f"Starting {len(events)} kinds of function {rounds} times each"):
            for _ in range(rounds):
                for name, event in events.items():
                    more = MODEL_VARIABLES if name == "hotplate" else None
                    with stage.environment(PROGRAMS[name], staged, more) as environment:
                        result = environment.invoke(event)
                    starts[name].wall_ms.append(result.wall_ms)
                    if name == "hotplate":
                        phases.append(phases_of(result))
                    if name != "floor":
                        answers[name] = _first_output(name, result)
                _refuse_difference(answers)
    for phase in phases[0]:
        starts["hotplate"].phases_ms[phase] = median(each.get(phase, 0.0) for each in phases)
    return Cold(model, mbps, staged.source_bytes, staged.fetched_bytes, starts)


def written(model: str, kind: _Kind) -> Path:
    """Return the file of a model, written once."""
    file = cache_root() / "bench" / f"{model}.onnx"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        kind.write(unfinished)
        unfinished.rename(file)
    return file


def feeds_of(kind: _Kind) -> Array:
    """Return what is asked: numbers from one seed."""
    random = np.random.default_rng(1)
    if kind.datatype == "INT64":
        return random.integers(0, 1000, kind.shape)
    return random.random(kind.shape, np.float32).round(3)


def request_events(kind: _Kind, staged: Staged) -> dict[str, bytes]:
    """Return events by kind of function: the same numbers as JSON, each as it wants them."""
    feeds = feeds_of(kind)
    tensor = {
        "name": kind.name,
        "datatype": kind.datatype,
        "shape": kind.shape,
        "data": feeds.ravel().tolist(),
    }
    path = f"/v2/models/{staged.name}/infer"
    return {
        "hotplate": _event(path, {"inputs": [tensor]}),
        "usual": _event("/predict", {kind.name: feeds.tolist()}),
        "floor": _event("/", {}),
    }


def _event(path: str, body: Mapping[str, Any]) -> bytes:
    headers = {"Content-Type": "application/json"}
    event = {"httpMethod": "POST", "path": path, "headers": headers, "body": json.dumps(body)}
    return json.dumps({**event, "isBase64Encoded": False}).encode()


def phases_of(result: InvokeResult) -> dict[str, float]:
    """Return the phases of the cold ledger that a start logged, in ms.

    Raises:
        FailedError: It logged none.
    """
    for line in result.log:
        if line.startswith('{"hotplate":"cold"'):
            record = json.loads(line)
            beside = {f"{name} (beside)": ms for name, ms in record["beside_ms"].items()}
            return {**record["phases_ms"], **beside}
    raise FailedError("the function logged no cold ledger:\n" + "\n".join(result.log[-6:]))


def _first_output(name: str, result: InvokeResult) -> Array:
    try:
        body = answer_of(result.payload)
    except ValueError as fault:
        raise FailedError(f"{name}: {fault}", advice="\n".join(result.log[-6:])) from fault
    data = body["outputs"][0]["data"] if name == "hotplate" else body["y"]
    return np.asarray(data, np.float64).ravel()


def _refuse_difference(answers: Mapping[str, Array]) -> None:
    ours, theirs = answers["hotplate"], answers["usual"]
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if difference > TOLERANCE:
        raise FailedError(f"the answers differ by {difference:.1e} of the largest")
