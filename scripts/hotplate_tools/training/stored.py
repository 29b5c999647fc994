"""Where the files of a model that comes with the project are: in its source folder, or in the cache.

What a trainer made is committed with the source folder while it is at most `MAX_COMMITTED_BYTES` in
all. Larger models are built once on each machine (`make models`) into the user's cache folder, under
a key of everything that decides what they are; another trainer, pin or `model.yaml` is another key.
A folder in the cache is renamed into its place when it is whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import hotplate_tools.models
from hotplate_tools.environments import cache_root
from hotplate_tools.failures import RefusedError
from hotplate_tools.naming import module_name
from hotplate_tools.project import project_root
from hotplate_tools.publish.model_yaml import read_spec

if TYPE_CHECKING:
    from hotplate_tools.console import Console
    from hotplate_tools.publish.model_yaml import ModelSpec

__all__ = [
    "MAX_COMMITTED_BYTES",
    "built_folder",
    "is_built",
    "is_pipeline",
    "measured_models",
    "member_names",
    "missing_models",
    "model_folder",
    "models_of_task",
    "source_folder",
    "trained_models",
    "warn_of_missing",
]

MAX_COMMITTED_BYTES = 1_000_000

_OTHER_MODELS = re.compile(r"\bhotplate_tools\.models\.(\w+)\.(\w+)")

MODELS = Path(str(files(hotplate_tools.models)))


def source_folder(name: str) -> Path:
    """Return the folder of the model that comes with the project under this name, be it there or not."""
    return MODELS / module_name(name)


def is_built(name: str) -> bool:
    """Return whether a model of this name comes with the project and all of it is on this machine."""
    return _found(name) is not None


def is_pipeline(name: str) -> bool:
    """Return whether a model of this name comes with the project and is made of others."""
    file = source_folder(name) / "model.yaml"
    return file.is_file() and read_spec(file).kind == "pipeline"


def member_names(spec: ModelSpec) -> list[str]:
    """Return the models that a pipeline is made of, sorted."""
    return sorted({one.partition("@")[0] for step in spec.steps for one in step.references()})


def model_folder(name: str) -> Path:
    """Return the folder from which the model of this name is published.

    Raises:
        RefusedError: There is none, or it is still to be built.
    """
    found = _found(name)
    if found is None:
        if not (source_folder(name) / "model.yaml").is_file():
            raise RefusedError(f"no model {name!r} comes with this project")
        raise RefusedError(
            f"{name} is not built on this machine",
            advice=f"`make models` builds all that are not; `hotplate train {name}` this one.",
        )
    return found


def missing_models() -> list[str]:
    """Return the models that have a source folder, but are still to be built on this machine."""
    return [spec.name for spec in _specs() if spec.kind != "pipeline" and not is_built(spec.name)]


def trained_models() -> list[str]:
    """Return the models that have a trainer and are built on this machine."""
    return [spec.name for spec in _specs() if spec.training and is_built(spec.name)]


def measured_models() -> list[str]:
    """Return the models that have a trainer, or an `evaluate` of their own, and are built on this machine."""
    own = [file.parent.name for file in MODELS.glob("*/evaluate.py")]
    return [
        spec.name
        for spec in _specs()
        if (spec.training or module_name(spec.name) in own) and is_built(spec.name)
    ]


def models_of_task(task: str) -> list[str]:
    """Return the models that come with the project for a task, built on this machine or not."""
    return [spec.name for spec in _specs() if spec.task == task]


def warn_of_missing(names: Sequence[str], console: Console) -> None:
    """Say in one line which of these models come with the project, but are still to be built."""
    come_with_it = [name for name in names if (source_folder(name) / "model.yaml").is_file()]
    missing = [name for name in come_with_it if not is_built(name)]
    if missing:
        console.warn(f"left out, because not built on this machine: {', '.join(missing)} (`make models`)")


def built_folder(name: str) -> Path:
    """Return the folder in the cache in which the model is, or is to be, under its key of today."""
    folder = source_folder(name)
    spec = read_spec(folder / "model.yaml")
    parts = sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    root = project_root()
    function = root / "functions" / module_name(name)
    parts += sorted(file for file in function.glob("*.py") if file.name != "app.py")
    parts += _shared(folder)
    if spec.training:
        pins = (spec.training.environment or "", spec.training.by_pip)
        parts += [root / "requirements" / f"{pin}.txt" for pin in pins if pin]
    if spec.kind:
        parts += [root / "layers" / "codecs" / "requirements.txt", function / "requirements.txt"]
    digest = hashlib.sha256()
    for part in parts:
        body = part.read_bytes() if part.is_file() else b""
        digest.update(f"{part.name} {len(body)}\n".encode() + body)
    return cache_root() / "models" / name / digest.hexdigest()[:12]


def _shared(folder: Path) -> list[Path]:
    """Return the modules of other models' folders that a model's own name."""
    text = "".join(file.read_text("utf-8") for file in sorted(folder.glob("*.py")))
    named = sorted(set(_OTHER_MODELS.findall(text)))
    files = [MODELS / package / f"{module}.py" for package, module in named if package != folder.name]
    return [file for file in files if file.is_file()]


def _specs() -> list[ModelSpec]:
    return [read_spec(file) for file in sorted(MODELS.glob("*/model.yaml"))]


def _found(name: str) -> Path | None:
    folder = source_folder(name)
    if not (folder / "model.yaml").is_file():
        return None
    spec = read_spec(folder / "model.yaml")
    if spec.kind == "pipeline":  # its own files are small, and of no use without its members
        return folder if all(map(is_built, member_names(spec))) else None
    if spec.training is None or spec.artefact is None or (folder / spec.artefact).exists():
        return folder
    built = built_folder(name)
    return built if (built / "model.yaml").is_file() else None
