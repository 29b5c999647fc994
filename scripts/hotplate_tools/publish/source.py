"""What the publisher was pointed at: one `.onnx` file, or a folder with `model.yaml`.

Every file that is read lies inside that folder, also after symbolic links are followed. Nothing is
computed from the files here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.model_yaml import ModelSpec, read_spec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NAME", "Source", "inside", "read_source"]

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Source:
    """The parts of a model before it is published.

    Attributes:
        name: Model name.
        folder: Resolved; no file outside it is read.
        graph: The ONNX file.
        golden, card: Files of a source folder, if it has them.
        spec: What `model.yaml` says; None for a bare file.
    """

    name: str
    folder: Path
    graph: Path
    golden: Path | None
    card: Path | None
    spec: ModelSpec | None


def read_source(path: Path, name: str | None) -> Source:
    """Return the parts found at `path`.

    Args:
        path: An `.onnx` file or a folder with `model.yaml`.
        name: Overrides the name that the source gives itself.

    Raises:
        RefusedError: Neither of the two; or the name is none; or a file is missing or lies outside.
    """
    if path.is_dir():
        source = _read_folder(path.resolve(), name)
    elif path.is_file() and path.suffix == ".onnx":
        whole = path.resolve()
        source = Source(name or path.stem.lower(), whole.parent, whole, None, None, None)
    else:
        raise RefusedError(
            f"{path} is neither an .onnx file nor a folder with model.yaml",
            advice="Export the model to ONNX first, or point to its source folder.",
        )
    if not NAME.fullmatch(source.name):
        raise RefusedError(
            f"{source.name!r} is no model name: lower-case letters, digits and ._- only, at most 63",
            advice="Give one with --name.",
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
    return Source(
        name=name or spec.name,
        folder=folder,
        graph=inside(folder, spec.artefact, "artefact"),
        golden=inside(folder, spec.golden.file, "golden file") if spec.golden else None,
        card=inside(folder, spec.card, "card") if spec.card is not None else None,
        spec=spec,
    )
