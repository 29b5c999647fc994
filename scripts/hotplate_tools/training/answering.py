"""What a trainer exported, answering as it will be served: a graph between its steps, or a program."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.runtime.session import Session
from hotplate_tools.convert.converted import ConvertOptions, as_onnx
from hotplate_tools.publish.build import load_transforms
from hotplate_tools.publish.graph import inspect_graph
from hotplate_tools.publish.program import asking, draft_manifest, functions_root
from hotplate_tools.publish.source import Source, asset_files
from hotplate_tools.training.stored import source_folder
from hotplate_tools.training.trainer import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hotplate.manifest.schema import Parity
    from hotplate.runtime.transforms import Transforms
    from hotplate_tools.console import Console
    from hotplate_tools.publish.graph import Graph
    from hotplate_tools.publish.model_yaml import ModelSpec
    from hotplate_tools.training.trainer import Ask

__all__ = ["Answering", "answering"]


@dataclass(frozen=True, slots=True)
class Answering:
    """A model that can be asked.

    Attributes:
        ask: Public inputs → public outputs.
        graph, parity: What it became, and how that compared; None for a program, and what was ONNX already.
        assets: Of a graph's steps, by path.
    """

    ask: Ask
    graph: Graph | None
    parity: Parity | None
    assets: Mapping[str, bytes]


@contextmanager
def answering(
    spec: ModelSpec, made: Path, artefact: str, work: Path, console: Console
) -> Iterator[Answering]:
    """Yield the model.

    Args:
        spec: What `model.yaml` says.
        made: Folder that `export` wrote.
        artefact: What `export` returned.
        work: An empty folder to work in.
        console: Told while it is converted or loaded.

    Raises:
        RefusedError: Its conversion changes answers, or the program does not load.
        FailedError: An environment cannot be had.
    """
    if spec.kind is None:
        yield _graph(spec, made, artefact, work, console)
        return
    is_spacy = spec.kind == "spacy"
    assets = asset_files(made / artefact, (".",)) if is_spacy else asset_files(made, spec.assets)
    source = Source(
        name=spec.name,
        folder=made,
        graph=made / artefact if is_spacy else made,
        golden=None,
        card=None,
        spec=spec,
        platform=spec.kind,
        assets=assets,
    )
    with asking(source, draft_manifest(source), functions_root(), work, console) as ask:
        yield Answering(ask, None, None, {})


def _graph(spec: ModelSpec, made: Path, artefact: str, work: Path, console: Console) -> Answering:
    assets = _assets(spec, made)
    transforms = load_transforms(spec.name, assets)
    source = _source(spec, made, artefact, has_steps=transforms is not None)
    source = as_onnx(source, ConvertOptions(tolerance=spec.tolerance), work, console)
    graph = inspect_graph(source.graph)
    parity = source.conversion.parity if source.conversion else None
    return Answering(_asking(graph, transforms), graph, parity, assets)


def _source(spec: ModelSpec, made: Path, artefact: str, *, has_steps: bool) -> Source:
    """Return what the framework wrote, as `hotplate convert` would be pointed at it."""
    rows = made / ROWS
    return Source(
        name=spec.name,
        folder=made,
        graph=made / artefact,
        golden=None,
        card=None,
        # Where a function has steps around the graph, what callers send is not what the graph takes.
        spec=None if has_steps else spec,
        evaluation=rows if rows.is_file() else None,
    )


def _assets(spec: ModelSpec, made: Path) -> dict[str, bytes]:
    """Return the assets by path: made just now, or written by hand."""
    folders = (made, source_folder(spec.name))
    return {
        path: next((folder / path).read_bytes() for folder in folders if (folder / path).is_file())
        for path in spec.assets
        if any((folder / path).is_file() for folder in folders)
    }


def _asking(graph: Graph, transforms: Transforms | None) -> Ask:
    """Return what answers public inputs as the endpoint will."""
    weights = {location: memoryview(file.read_bytes()) for location, file in graph.weights.items()}
    session = Session(graph.body, weights=weights, threads=1)
    if transforms is None:
        return session.run_all
    return lambda inputs: transforms.apply(inputs, session.run_all)
