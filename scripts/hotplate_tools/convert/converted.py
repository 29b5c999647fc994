"""A source of any framework made ONNX: convert, look at it, ask both, compare, keep the evidence.

What is kept is the ONNX file, the parity record, and golden rows whose answers are the framework's,
so that every later machine and runtime is held to the model as it was trained, not as it was
converted. The framework runs in a child process and is gone when the version is described.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import GraphError
from hotplate.manifest.schema import Golden
from hotplate.runtime.session import Session
from hotplate_tools.convert import cache, parity
from hotplate_tools.convert.cache import Conversion
from hotplate_tools.convert.kinds import KINDS, detect
from hotplate_tools.convert.process import Runner
from hotplate_tools.convert.rows import Case, made_up_cases, read_rows, row_cases
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.golden import MAX_GENERATED_BYTES, line_of
from hotplate_tools.publish.graph import inspect_graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hotplate_tools.console import Console
    from hotplate_tools.convert.kinds import Converter
    from hotplate_tools.convert.parity import Answered
    from hotplate_tools.publish.graph import Graph
    from hotplate_tools.publish.source import Source

__all__ = ["Conversion", "ConvertOptions", "as_onnx", "golden_documents"]

type Array = np.ndarray[Any, Any]

# Another processor rounds otherwise than the one that made the golden rows. Ours.
GOLDEN_RTOL = 1e-3
MAX_GOLDEN_CASES = 3


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """What the publisher may say about a conversion.

    Attributes:
        rows: Evaluation rows; None takes `model.yaml`'s, else makes some up.
        tolerance: For the parity gate; None takes `model.yaml`'s, else the default.
        trust_pickle: Whether a pickle may be read, in the runner's process.
        source_path: Folder in which `package.module:factory` is found.
        program: Another runner, for tests of the gate; what it makes is not kept.
        cached: Whether a conversion that was made before may be taken.
    """

    rows: Path | None = None
    tolerance: float | None = None
    trust_pickle: bool = False
    source_path: Path | None = None
    program: Path | None = None
    cached: bool = True

    @property
    def is_default(self) -> bool:
        """Whether nothing was said."""
        return self == ConvertOptions()


def as_onnx(source: Source, options: ConvertOptions, folder: Path, console: Console) -> Source:
    """Return the source with an ONNX graph and its `conversion`; an ONNX source as it is.

    Args:
        source: `graph` may be of any kind of `convert.kinds`.
        options: See there.
        folder: The ONNX file is written here.
        console: Told of each step.

    Raises:
        RefusedError: Not fit to be converted; or the parity gate closed, with the rows that differ.
        FailedError: The framework cannot be installed, or failed.
        OSError: The source cannot be read.
    """
    kind = detect(source.graph)
    converter = KINDS[kind]
    if converter is None:
        return source
    if kind == "pickle" and not options.trust_pickle:
        raise RefusedError(
            f"{source.graph.name} is a pickle, and reading one runs whatever code is in it",
            advice="Save the model with skops.io.dump, or give --trust-pickle if you made the file yourself.",
        )
    file = folder / "model.onnx"
    key = _key(kind, source, options, converter)
    if key and options.cached and (kept := cache.find(key, file)):
        console.say(f"{source.graph.name} was converted and compared before; --no-cache does it again")
        return replace(source, graph=file, conversion=kept)
    conversion = _converted(kind, source, options, converter, file, console)
    if key and key == _key(kind, source, options, converter):
        try:
            cache.keep(key, file, conversion)
        except OSError as fault:
            console.warn(f"the conversion is not kept for the next time: {fault}")
    return replace(source, graph=file, conversion=conversion)


def _converted(
    kind: str, source: Source, options: ConvertOptions, converter: Converter, file: Path, console: Console
) -> Conversion:
    with Runner(converter, file.parent, console, program=options.program) as runner:
        with console.step(f"Converting {source.graph.name} with {converter.title}"):
            report = runner.ask(
                "convert",
                source=source.graph.name if kind == "torch" else str(source.graph),
                output=str(file),
                trust_pickle=options.trust_pickle,
                source_path=str((options.source_path or source.folder).resolve()),
                **_facts(kind, source),
            )
        graph = inspect_graph(file)
        _refuse_baked_in(source, graph, report)
        with console.step(f"Comparing the ONNX file with {converter.title}"):
            return _compared(source, options, graph, converter, runner, report, file.parent)


def _facts(kind: str, source: Source) -> dict[str, Any]:
    """Return what a runner is told besides places."""
    spec = source.spec
    return {"kind": kind, "inputs": [tensor.model_dump() for tensor in spec.inputs] if spec else None}


def _key(kind: str, source: Source, options: ConvertOptions, converter: Converter) -> str | None:
    """Return the key of the conversion in the cache, or None if it may not be kept."""
    if options.program:
        return None
    rows = options.rows or source.evaluation
    return cache.key_of(
        source.graph, rows, converter, _facts(kind, source), tolerance=_tolerance(source, options)
    )


def _tolerance(source: Source, options: ConvertOptions) -> float:
    return options.tolerance or (source.spec.tolerance if source.spec else None) or parity.TOLERANCE


def _refuse_baked_in(source: Source, graph: Graph, report: Mapping[str, Any]) -> None:
    """Refuse a first dimension, or one that the source calls open, that the export has fixed."""
    declared = {tensor.name: tensor.shape for tensor in source.spec.inputs} if source.spec else {}
    asked = report.get("open", {})
    for tensor in graph.inputs:
        for axis, size in enumerate(tensor.shape):
            if size == -1 or declared.get(tensor.name, ())[axis : axis + 1] == (size,):
                continue
            if axis == 0 or axis in asked.get(tensor.name, ()):
                raise RefusedError(
                    f"the export has a size baked in: axis {axis} of input {tensor.name!r} is always {size}",
                    advice="Export it with that axis open (PyTorch: dynamic_shapes; Keras: no batch_size), "
                    "or state the fixed shape in model.yaml.",
                )


def _compared(
    source: Source,
    options: ConvertOptions,
    graph: Graph,
    converter: Converter,
    runner: Runner,
    report: Mapping[str, Any],
    folder: Path,
) -> Conversion:
    file = options.rows or source.evaluation
    if file:
        cases = row_cases(graph.inputs, read_rows(file, graph.inputs))
    else:
        cases = [*made_up_cases(graph.inputs), *_offered(report)]
    tolerance = _tolerance(source, options)
    references = _ask(runner, cases, folder)
    session = _session(graph, source)
    pairs = parity.answered(
        converter.title, cases, references, lambda feeds: session.run(feeds, session.output_names)
    )
    record = parity.compare(
        converter.title, report["framework"], pairs, tolerance=tolerance, made_up=file is None
    )
    golden, rows = _golden(pairs, tolerance)
    labels = {name: tuple(words) for name, words in report.get("labels", {}).items()}
    return Conversion(record, golden, rows, labels)


def _session(graph: Graph, source: Source) -> Session:
    try:
        return Session(graph.body, weights={}, threads=1)
    except GraphError as fault:
        raise RefusedError(f"ONNX Runtime does not load what {source.graph.name} became: {fault}") from fault


def _ask(runner: Runner, cases: Sequence[Case], folder: Path) -> list[dict[str, Array] | str]:
    jobs = []
    for number, case in enumerate(cases):
        jobs.append(
            {"inputs": str(folder / f"in-{number}.npz"), "outputs": str(folder / f"out-{number}.npz")}
        )
        entries: dict[str, Any] = {f"={name}": _portable(array) for name, array in case.feeds.items()}
        np.savez(jobs[-1]["inputs"], **entries)
    found: list[dict[str, Array] | str] = []
    for job, error in zip(jobs, runner.ask("answer", cases=jobs)["cases"], strict=True):
        if error is not None:
            found.append(error)
            continue
        found.append(_arrays(job["outputs"]))
    return found


def _offered(report: Mapping[str, Any]) -> list[Case]:
    """Return the rows that the runner made from what it knows of the model."""
    return [Case(case["label"], _arrays(case["inputs"])) for case in report.get("rows", ())]


def _arrays(file: str) -> dict[str, Array]:
    with np.load(file, allow_pickle=False) as archive:
        return {name[1:]: archive[name] for name in archive.files}


def _portable(array: Array) -> Array:
    """Return text as fixed-width strings, which need no pickle in a file."""
    if not array.dtype.hasobject:
        return array
    return np.array([cell.decode() for cell in array.ravel()], "U").reshape(array.shape)


def _golden(pairs: Sequence[Answered], tolerance: float) -> tuple[Golden | None, bytes]:
    """Return the smallest finite cases as golden rows with the framework's answers."""
    scale = 0.0
    lines: list[bytes] = []
    for pair in sorted(pairs, key=lambda pair: sum(array.size for array in pair.case.feeds.values())):
        numbers = [array for array in pair.expected.values() if array.dtype.kind == "f"]
        given = [array for array in pair.case.feeds.values() if array.dtype.kind == "f"]
        # JSON has no NaN.
        finite = all(np.isfinite(array).all() for array in (*numbers, *given))
        if not finite or len(lines) == MAX_GOLDEN_CASES:
            continue
        line = line_of(pair.case.feeds, pair.expected)
        if sum(map(len, lines)) + len(line) > MAX_GENERATED_BYTES:
            break
        lines.append(line)
        scale = max([scale, *(float(np.abs(array).max()) for array in numbers if array.size)])
    if not lines:
        return None, b""
    # The gate measures by the output's scale, golden rows element by element: the same band in both.
    return Golden(rows=len(lines), rtol=GOLDEN_RTOL, atol=parity.up(2 * tolerance * scale)), b"".join(lines)


def golden_documents(raw: bytes) -> list[dict[str, dict[str, Any]]]:
    """Return golden rows as `publish.golden.replay` takes them."""
    return [json.loads(line) for line in raw.splitlines()]
