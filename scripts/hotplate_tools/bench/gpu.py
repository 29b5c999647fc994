"""What is a GPU worth? `hotplate bench gpu`.

ResNet-50, an encoder of MiniLM's size and smollm2, each in two processes that are asked by turns: one on
CUDA, in the environment that the container of SageMaker has, one on the processor, all of it. Input and
answer are copied each time, as in the container. A side that was to be on CUDA and is not ends the bench.

Source: ONNX Runtime documentation, "CUDA Execution Provider"; NVIDIA, `nvidia-smi`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import hotplate_tools.bench.gpu_side
from hotplate_tools.bench.child import Child
from hotplate_tools.bench.cold import MODELS, written
from hotplate_tools.bench.graphs import write_encoder
from hotplate_tools.environments import cache_root, ensure
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.project import project_root
from hotplate_tools.training.stored import model_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate_tools.console import Console

__all__ = ["NAMES", "GpuBench", "Machine", "Row", "bench_gpu", "gpu_data", "gpu_here", "gpu_text"]

type Provider = Literal["cuda", "cpu"]

NAMES = ("resnet50", "minilm", "smollm2")
BATCHES = (1, 32)
TOKENS = 64
# Of the largest number of an answer: CUDA multiplies in TF32, and kernels of four bits round otherwise.
TOLERANCE = 0.05
_CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True, slots=True)
class Machine:
    """What it was measured on; `gpu` is "" where both sides are the processor."""

    processor: str
    vcpus: int
    gpu: str
    onnxruntime: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of request.

    Attributes:
        model: Its name.
        what: The request.
        unit: Of the rates: `rows` or `tokens`.
        fast_ms, cpu_ms: A request on the side that is measured, and on the processor: medians.
        fast_rate, cpu_rate: A second.
        difference: Of the answers, relative to the largest number.
    """

    model: str
    what: str
    unit: str
    fast_ms: float
    cpu_ms: float
    fast_rate: float
    cpu_rate: float
    difference: float

    @property
    def times(self) -> float:
        """How many times as fast the measured side is."""
        return self.fast_rate / self.cpu_rate


@dataclass(frozen=True, slots=True)
class GpuBench:
    """All of it; `provider` is that of the measured side."""

    provider: Provider
    machine: Machine
    rows: list[Row]


def bench_gpu(names: Sequence[str], provider: Provider, *, rounds: int, console: Console) -> GpuBench:
    """Ask both sides by turns.

    Raises:
        RefusedError: There is no GPU here, or smollm2 is not built.
        FailedError: A side fails, is not on CUDA, or answers otherwise.
    """
    gpu = gpu_here() if provider == "cuda" else ""
    jobs = {name: _job(name) for name in names}
    root = project_root()
    python = sys.executable
    if provider == "cuda":
        requirements = (root / "functions" / "sagemaker" / "requirements.txt",)
        python = str(ensure("bench-gpu", console, python="3.13", requirements=requirements) / "python")
    rows: list[Row] = []
    versions = ("", "")
    for name, job in jobs.items():
        with console.step(f"Asking {name} on both sides by turns, {rounds} times"), ExitStack() as stack:
            fast = _side(stack, python, {**job, "provider": provider})
            cpu = _side(stack, sys.executable, {**job, "provider": "cpu"})
            if provider == "cuda" and _CUDA not in fast.said["providers"]:
                raise FailedError(
                    f"{name} was to run on CUDA, and ONNX Runtime put it on {fast.said['providers']}",
                    advice="What it printed above says which library it lacks; the driver may be too old.",
                )
            versions = (fast.said["onnxruntime"], cpu.said["onnxruntime"])
            rows += _rows(name, fast, cpu, rounds)
    vcpus = len(os.sched_getaffinity(0))
    return GpuBench(provider, Machine(_processor(), vcpus, gpu, versions), rows)


def gpu_here() -> str:
    """Return the name, memory and driver of this machine's GPU.

    Raises:
        RefusedError: It has none, or no driver.
        FailedError: The driver does not work.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        raise RefusedError(
            "no NVIDIA GPU with its driver is here: there is no program nvidia-smi",
            advice="Run it where a GPU is; --provider cpu asks the processor on both sides, which shows that "
            "the bench works and measures no GPU.",
        )
    asked = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(asked, check=False, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise FailedError(f"nvidia-smi ended with code {done.returncode}: {said}")
    return done.stdout.splitlines()[0].strip()


def gpu_data(seen: GpuBench) -> dict[str, Any]:
    """Return the figures for `--json`."""
    machine = seen.machine
    return {
        "provider": seen.provider,
        "machine": {
            "processor": machine.processor,
            "vcpus": machine.vcpus,
            "gpu": machine.gpu or None,
            "onnxruntime": {seen.provider: machine.onnxruntime[0], "cpu": machine.onnxruntime[1]},
        },
        "rows": [
            {
                "model": row.model,
                "what": row.what,
                "unit": row.unit,
                "ms": round(row.fast_ms, 2),
                "cpu_ms": round(row.cpu_ms, 2),
                "rate": round(row.fast_rate, 1),
                "cpu_rate": round(row.cpu_rate, 1),
                "times": round(row.times, 2),
                "difference": float(f"{row.difference:.1e}"),
            }
            for row in seen.rows
        ],
    }


def gpu_text(seen: GpuBench) -> str:
    """Return the figures as a table."""
    machine = seen.machine
    where = machine.gpu or "the processor on both sides: no GPU is measured"
    lines = [f"{machine.processor}, {machine.vcpus} vCPUs; {where}"]
    lines += [
        f"  {row.model:<10}{row.what:<22}{row.fast_ms:>10,.1f} ms  cpu {row.cpu_ms:>10,.1f} ms"
        f"{row.fast_rate:>10,.0f} {row.unit}/s  cpu {row.cpu_rate:>8,.0f}  {row.times:.2f} times"
        for row in seen.rows
    ]
    return "\n".join(lines)


def _job(name: str) -> dict[str, Any]:
    job: dict[str, Any] = {"kind": "graph", "threads": len(os.sched_getaffinity(0))}
    if name == "smollm2":
        return job | {"kind": "text", "path": str(model_folder(name))}
    if name == "resnet50":
        return job | {"path": str(written("cnn-100mb", MODELS["cnn-100mb"]))}
    return job | {"path": str(_encoder())}


def _encoder() -> Path:
    """Return the file of an encoder with the layers, width and words of all-MiniLM-L6-v2, written once."""
    file = cache_root() / "bench" / "encoder-minilm.onnx"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        write_encoder(unfinished, layers=6, width=384)
        unfinished.rename(file)
    return file


def _side(stack: ExitStack, python: str, job: dict[str, Any]) -> Child:
    paths = os.pathsep.join([str(project_root() / "layers" / "serving" / "python")])
    command = [python, hotplate_tools.bench.gpu_side.__file__, json.dumps(job)]
    return Child(stack, command, {**os.environ, "PYTHONPATH": paths})


def _rows(name: str, fast: Child, cpu: Child, rounds: int) -> list[Row]:
    if name == "smollm2":
        seen = _turns(fast, cpu, TOKENS, rounds)
        prompt = hotplate_tools.bench.gpu_side.PROMPT
        return [
            _row(name, f"prompt of {prompt}", "tokens", prompt, "first_ms", seen),
            _row(name, f"{TOKENS - 1} tokens after it", "tokens", TOKENS - 1, "ms", seen),
        ]
    return [
        _row(name, f"{rows} at once", "rows", rows, "ms", _turns(fast, cpu, rows, rounds)) for rows in BATCHES
    ]


def _turns(fast: Child, cpu: Child, size: int, rounds: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    for child in (fast, cpu):
        child.ask(size)  # kernels are chosen in the first run
    return [(fast.ask(size), cpu.ask(size)) for _ in range(rounds)]


def _row(
    name: str,
    what: str,
    unit: str,
    count: int,
    key: str,
    seen: list[tuple[dict[str, Any], dict[str, Any]]],
) -> Row:
    fast_ms, cpu_ms = (median(pair[side][key] for pair in seen) for side in (0, 1))
    ours, theirs = (np.asarray(side["answer"]) for side in seen[-1])
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if not difference <= TOLERANCE:
        raise FailedError(f"{name}, {what}: the answers differ by {difference:.1e} of the largest number")
    rates = (count * 1000 / fast_ms, count * 1000 / cpu_ms)
    return Row(name, what, unit, fast_ms, cpu_ms, *rates, difference)


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()
