"""What the publisher was pointed at: a model of some framework, or a folder with `model.yaml`.

Every file that is read lies inside that folder, also after symbolic links are followed. Nothing is
computed from the files here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from hotplate.manifest.schema import PIPELINE_PLATFORM, PROGRAM_PLATFORMS
from hotplate_tools.convert.kinds import detect, is_entry_point
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.model_yaml import ModelSpec, read_spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hotplate_tools.convert.converted import Conversion

__all__ = ["NAME", "Source", "asset_files", "inside", "read_source"]

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Source:
    """The parts of a model before it is published.

    Attributes:
        name: Model name.
        folder: Resolved; no file outside it is read.
        graph: The model: a file or folder of a kind in `convert.kinds`; once converted, the ONNX file; of
            a program or a pipeline its folder.
        golden, card, evaluation, parity: Files of a source folder, if it has them.
        spec: What `model.yaml` says; None for a bare file.
        conversion: What converting brought; None for what is ONNX by itself.
        revision: Of git, if it is to be recorded.
        platform: As in the manifest.
        assets: Files for the function's own code, by their path in the version, sorted.
    """

    name: str
    folder: Path
    graph: Path
    golden: Path | None
    card: Path | None
    spec: ModelSpec | None
    evaluation: Path | None = None
    conversion: Conversion | None = None
    revision: str | None = None
    platform: str = "onnx_onnxv1"
    parity: Path | None = None
    assets: Mapping[str, Path] = field(default_factory=dict)

    @property
    def is_program(self) -> bool:
        """Whether it is Python code with assets, and no graph."""
        return self.platform in PROGRAM_PLATFORMS

    @property
    def is_pipeline(self) -> bool:
        """Whether it is made of other models."""
        return self.platform == PIPELINE_PLATFORM


def read_source(path: Path, name: str | None) -> Source:
    """Return the parts found at `path`.

    Args:
        path: A folder with `model.yaml`; or a file, folder or `package.module:factory` of a kind in
            `convert.kinds`.
        name: Overrides the name that the source gives itself.

    Raises:
        RefusedError: Neither of the two; or the name is none; or a file is missing or lies outside.
    """
    if (path / "model.yaml").is_file():
        source = _read_folder(path.resolve(), name)
    else:
        kind, whole = detect(path), path.resolve()
        if kind == "spacy":
            raise RefusedError(
                f"{path.name} is a spaCy pipeline, and what callers send and get is not in it",
                advice="Put a folder with model.yaml around it that says so: see docs/07-converting.md.",
            )
        # "package.module:factory" is no file name with a suffix.
        own = path.name.rpartition(":")[2] if kind == "torch" else path.stem
        source = Source(name or own.lower(), whole.parent, whole, None, None, None)
    if not NAME.fullmatch(source.name):
        raise RefusedError(
            f"{source.name!r} is no model name: lower-case letters, digits and ._- only, at most 63",
            advice="Give one: --name NAME; for `hotplate up`, NAME=PATH.",
        )
    return source


def inside(folder: Path, relative: str, what: str) -> Path:
    """Return the regular file `relative` of `folder`, resolved.

    Raises:
        RefusedError: It is not there, or not inside `folder` once links are followed.
    """
    try:
        file = (folder / relative).resolve()
        if not file.is_relative_to(folder):
            raise RefusedError(f"{what} {relative!r} lies outside of {folder.name}")
        if not file.is_file():
            raise RefusedError(f"{what} {relative!r} is not in {folder.name}")
    except (ValueError, OSError) as fault:
        raise RefusedError(f"{what} {relative!r} is no file name: {fault}") from fault
    return file


def _read_folder(folder: Path, name: str | None) -> Source:
    spec = read_spec(inside(folder, "model.yaml", "file"))
    source = Source(
        name=name or spec.name,
        folder=folder,
        graph=folder if spec.artefact is None else _artefact(folder, spec.artefact),
        golden=inside(folder, spec.golden.file, "golden file") if spec.golden else None,
        card=inside(folder, spec.card, "card") if spec.card is not None else None,
        spec=spec,
        evaluation=inside(folder, spec.evaluation, "evaluation rows") if spec.evaluation else None,
        parity=inside(folder, spec.parity, "parity record") if spec.parity else None,
        assets=asset_files(folder, spec.assets),
    )
    if spec.artefact is None:
        return replace(source, platform=PIPELINE_PLATFORM if spec.kind == "pipeline" else "python")
    if source.graph.is_dir() and detect(source.graph) == "spacy":
        return replace(source, platform="spacy", assets=asset_files(source.graph, (".",)))
    if spec.kind == "spacy":
        raise RefusedError(
            f"artefact {spec.artefact!r} is no spaCy pipeline", advice="Save it with nlp.to_disk."
        )
    return source


def asset_files(folder: Path, named: tuple[str, ...]) -> dict[str, Path]:
    """Return the files named, and those of the folders named, by their path in `folder`."""
    found: dict[str, Path] = {}
    for name in named:
        paths = _files_of(folder, name)
        found |= {path: inside(folder, path, "asset") for path in paths}
    return dict(sorted(found.items()))


def _files_of(folder: Path, name: str) -> list[str]:
    try:
        home = folder / name
        if not home.is_dir():
            return [PurePosixPath(name).as_posix()]
        if not home.resolve().is_relative_to(folder):
            raise RefusedError(f"asset {name!r} lies outside of {folder.name}")
        parts = sorted(home.rglob("*"))
    except (ValueError, OSError) as fault:
        raise RefusedError(f"asset {name!r} is no file name: {fault}") from fault
    for part in parts:
        if part.is_symlink() and part.is_dir():
            raise RefusedError(f"asset {name!r} holds {part.name!r}, a link to a folder", advice="Copy it.")
    files = [part.relative_to(folder).as_posix() for part in parts if not part.is_dir()]
    if not files:
        raise RefusedError(f"asset {name!r} is an empty folder")
    return files


def _artefact(folder: Path, named: str) -> Path:
    """Return the model of a source folder: a file, a SavedModel folder or an entry point."""
    try:
        model = (folder / named).resolve()
        is_folder, is_absent = model.is_dir(), not model.exists()
    except (ValueError, OSError) as fault:
        raise RefusedError(f"artefact {named!r} is no file name: {fault}") from fault
    if is_absent and is_entry_point(named):
        return folder / named
    if not (is_folder and model != folder and model.is_relative_to(folder)):
        return inside(folder, named, "artefact")
    if detect(model) not in ("savedmodel", "spacy"):
        raise RefusedError(f"artefact {named!r} is a folder, but no SavedModel and no spaCy pipeline")
    for part in sorted(model.rglob("*")):
        # The framework follows every link in it, so each is looked at.
        if not part.is_dir():
            inside(folder, str(part.relative_to(folder)), "artefact")
    return model
