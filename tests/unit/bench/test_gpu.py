"""What the bench of a GPU tells, and what it says where there is none."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from hotplate_tools.bench import gpu
from hotplate_tools.bench.child import Child
from hotplate_tools.bench.gpu import GpuBench, Machine, Row, gpu_data, gpu_here, gpu_text
from hotplate_tools.failures import FailedError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path

ROW = Row("resnet50", "32 at once", "rows", 20.0, 400.0, 1600.0, 80.0, 1.23e-4)


class Side:
    """A side that says what it is told to."""

    def __init__(self, ms: list[float], answer: float) -> None:
        self._ms, self._answer = iter(ms), answer

    def ask(self, number: int) -> dict[str, object]:
        return {"ms": next(self._ms), "answer": [self._answer, 1.0]}


def program(folder: Path, body: str) -> None:
    file = folder / "nvidia-smi"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def test_a_machine_without_a_gpu_is_told_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError, match="no program nvidia-smi") as refused:
        gpu_here()
    assert "--provider cpu" in refused.value.advice


def test_a_driver_that_does_not_work_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, 'echo "Driver/library version mismatch" >&2; exit 18')
    with pytest.raises(FailedError, match="code 18: Driver/library version mismatch"):
        gpu_here()


def test_a_gpu_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, 'echo "NVIDIA A10G, 23028 MiB, 570.86.15"')
    assert gpu_here() == "NVIDIA A10G, 23028 MiB, 570.86.15"


def test_the_machine_stands_with_the_figures() -> None:
    seen = GpuBench("cuda", Machine("AMD EPYC", 4, "NVIDIA A10G", ("1.31.0", "1.32.0")), [ROW])
    data = gpu_data(seen)
    assert data["machine"] == {
        "processor": "AMD EPYC",
        "vcpus": 4,
        "gpu": "NVIDIA A10G",
        "onnxruntime": {"cuda": "1.31.0", "cpu": "1.32.0"},
    }
    (row,) = data["rows"]
    assert (row["times"], row["rate"], row["cpu_ms"], row["difference"]) == (20.0, 1600.0, 400.0, 1.2e-4)
    assert "AMD EPYC, 4 vCPUs; NVIDIA A10G" in gpu_text(seen)
    assert "no GPU is measured" in gpu_text(GpuBench("cpu", Machine("AMD EPYC", 4, "", ("1", "1")), [ROW]))


def test_figures_are_medians_without_the_first_run() -> None:
    fast, slow = Side([999, 1, 2, 6], 2.0), Side([999, 10, 30, 20], 2.0)
    seen = gpu._turns(fast, slow, 4, 3)  # type: ignore[arg-type]
    row = gpu._row("minilm", "4 at once", "rows", 4, "ms", seen)
    assert (row.fast_ms, row.cpu_ms, row.fast_rate, row.cpu_rate) == (2, 20, 2000, 200)


def test_other_answers_are_no_figures() -> None:
    seen = gpu._turns(Side([1, 1], 2.0), Side([1, 1], 2.5), 1, 1)  # type: ignore[arg-type]
    with pytest.raises(FailedError, match=r"minilm, 1 at once: the answers differ by 2\.0e-01"):
        gpu._row("minilm", "1 at once", "rows", 1, "ms", seen)


def test_a_side_that_ends_is_an_error() -> None:
    with ExitStack() as stack, pytest.raises(FailedError, match="a side ended with code 3"):
        Child(stack, ["sh", "-c", "exit 3"])
