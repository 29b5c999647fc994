"""Variants as files: made by ONNX Runtime's quantiser in an environment of its own, kept in the cache.

What is kept is named by everything that went into it: the graph, its weights, the calibration rows, the
program and the versions it runs on. So publishing again makes nothing, and gives the same bytes.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.convert.kinds import Converter
from hotplate_tools.convert.process import RUNNERS, Runner
from hotplate_tools.environments import cache_root
from hotplate_tools.failures import ToolError
from hotplate_tools.planning.weights import INLINE_BYTES
from hotplate_tools.project import project_root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.manifest.schema import VariantKind
    from hotplate_tools.console import Console
    from hotplate_tools.optimise.evaluation import Evaluation
    from hotplate_tools.publish.graph import Graph

__all__ = ["QUANTISER", "quantised"]

QUANTISER = Converter("ONNX Runtime's quantiser", "quantise", "run_quantiser.py")


def quantised(
    kinds: Sequence[VariantKind],
    source: Path,
    graph: Graph,
    evaluation: Evaluation,
    console: Console,
    *,
    program: Path | None = None,
) -> dict[VariantKind, Path | ToolError]:
    """Return the ONNX file of each variant, its weights beside it; or why there is none.

    Args:
        kinds: Which.
        source: The float ONNX file, its external data beside it.
        graph: The same, checked.
        evaluation: Its calibration rows give the ranges of activations.
        console: Told while they are made.
        program: Another quantiser, for tests of the gate.

    Raises:
        FailedError: The environment cannot be made.
    """
    program = program or RUNNERS / QUANTISER.runner
    common = _common_key(graph, evaluation, program)
    homes = {kind: cache_root() / "variants" / f"{common}-{kind}" for kind in kinds}
    found: dict[VariantKind, Path | ToolError] = {kind: home / "model.onnx" for kind, home in homes.items()}
    missing = [kind for kind in kinds if not homes[kind].exists()]
    if not missing:
        return found
    with (
        tempfile.TemporaryDirectory(prefix="hotplate-quantise-") as folder,
        Runner(QUANTISER, Path(folder), console, program=program) as runner,
    ):
        calibration = _calibration(evaluation, Path(folder))
        for kind in missing:
            try:
                with console.step(f"Making the {kind} variant"):
                    _make(kind, source, calibration, homes[kind], runner)
            except ToolError as fault:
                found[kind] = fault
    return found


def _make(kind: VariantKind, source: Path, calibration: list[str], home: Path, runner: Runner) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=home.parent))
    try:
        (scratch := unfinished / "scratch").mkdir()
        made = scratch / "model.onnx"
        job = {"kind": kind, "source": str(source), "output": str(made), "outside_bytes": INLINE_BYTES}
        runner.ask("quantise", **job, calibration=calibration)
        for file in (made, made.with_suffix(".weights")):
            if file.exists():
                file.rename(unfinished / file.name)
        shutil.rmtree(scratch)
        try:
            unfinished.rename(home)
        except OSError:
            if not home.exists():  # else another publisher was quicker, with the same files
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _calibration(evaluation: Evaluation, folder: Path) -> list[str]:
    files = []
    for number, call in enumerate(evaluation.calibration):
        files.append(str(folder / f"in-{number}.npz"))
        feeds: dict[str, Any] = {f"={name}": _portable(array) for name, array in call.feeds.items()}
        np.savez(files[-1], **feeds)
    return files


def _portable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return text as fixed-width strings, which need no pickle in a file."""
    if not array.dtype.hasobject:
        return array
    return np.array([cell.decode() for cell in array.ravel()], "U").reshape(array.shape)


def _common_key(graph: Graph, evaluation: Evaluation, program: Path) -> str:
    pins = project_root() / "requirements" / f"{QUANTISER.environment}.txt"
    digest = hashlib.sha256(f"1 {INLINE_BYTES} ".encode())
    for body in (pins.read_bytes(), program.read_bytes(), graph.body):
        digest.update(hashlib.sha256(body).digest())
    for name, file in graph.weights.items():
        with file.open("rb") as stream:
            digest.update(name.encode() + hashlib.file_digest(stream, "sha256").digest())
    for call in evaluation.calibration:
        _update(digest, call.feeds)
    return digest.hexdigest()[:24]


def _update(digest: hashlib._Hash, feeds: Mapping[str, np.ndarray[Any, Any]]) -> None:
    for name, array in sorted(feeds.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(_portable(array)).tobytes())
