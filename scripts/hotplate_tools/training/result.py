"""What a trainer made, written as the model's source folder.

The folder is put together somewhere else and described from there as `hotplate publish` would, so a
graph that contradicts `model.yaml`, its golden rows or its record is refused while the old files are
still in place. Small ones go into the project, large ones into the cache (`stored`).
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hotplate_tools.convert.folder import RECORD, write_folder
from hotplate_tools.convert.record import encode_record
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.pipeline import describe
from hotplate_tools.training.child import REPORT
from hotplate_tools.training.stored import MAX_COMMITTED_BYTES, built_folder, source_folder
from hotplate_tools.training.trainer import ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.manifest.schema import Parity
    from hotplate_tools.publish.graph import Graph
    from hotplate_tools.publish.members import Members
    from hotplate_tools.publish.model_yaml import ModelSpec
    from hotplate_tools.training.trainer import Trainer

__all__ = ["Made", "Written", "folder_files", "provenance_of", "write"]

# What the driver writes at the end of model.yaml; everything above is the owner's.
_GENERATED = re.compile(r"(?m)^(parity|provenance):")


@dataclass(frozen=True, slots=True)
class Made:
    """What came out of one training.

    Attributes:
        spec: What `model.yaml` says.
        folder, artefact: What `export` wrote, and which of it is the framework's own file.
        graph, parity: What it became, and how that compared; no graph for a program, no parity for what was
            ONNX already.
        assets: By path.
        golden: Rows.
    """

    spec: ModelSpec
    folder: Path
    artefact: str
    graph: Graph | None
    parity: Parity | None
    assets: Mapping[str, bytes]
    golden: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """A source folder as it lies on this machine now (or would lie, after a dry run).

    Attributes:
        folder: Where.
        version, manifest_sha256: What is published from it.
        size: Of its files, in bytes.
    """

    folder: Path
    version: str
    manifest_sha256: str
    size: int


def provenance_of(
    trainer: Trainer, name: str, parity: Parity | None, metrics: Mapping[str, float]
) -> dict[str, Any]:
    """Return the section `provenance` of `model.yaml`."""
    packages = list(trainer.DATA)
    found: dict[str, Any] = {
        "command": f"hotplate train {name}",
        "data": f"{', '.join(map(str, packages))}: {trainer.NOTE}" if packages else trainer.NOTE,
    }
    if len(packages) == 1:
        found["data_sha256"] = packages[0].sha256
    found["seed"] = trainer.SEED
    if parity:
        found["framework"] = parity.framework
    return found | {"metrics": dict(metrics)}


def folder_files(made: Made, provenance: Mapping[str, Any]) -> dict[str, bytes]:
    """Return every file of the source folder by path: what was made, between what is written by hand.

    Raises:
        RefusedError: `model.yaml` names no file for the golden rows, or another artefact than there will be.
    """
    spec = made.spec
    expected = "model.onnx" if made.graph else made.artefact
    if spec.golden is None or (spec.artefact or made.artefact) != expected:
        raise RefusedError(
            f"model.yaml of {spec.name} needs `artefact: {expected}` and a section `golden` to be trained"
        )
    by_hand = source_folder(spec.name)
    files = _by_hand(by_hand)
    extras = {path.relative_to(made.folder).as_posix(): path for path in made.folder.rglob("*")}
    # A program's artefact is what it is published from; a graph has been made of any other.
    left = {ROWS, REPORT, *([made.artefact.split("/")[0]] if made.graph else [])}
    for path, file in extras.items():
        if file.is_file() and path.split("/")[0] not in left:
            files[path] = file.read_bytes()
    files |= made.assets
    if spec.training and spec.training.keep:
        files[spec.training.keep] = (made.folder / made.artefact).read_bytes()
    if made.graph:
        files["model.onnx"] = made.graph.body
        files |= {location: file.read_bytes() for location, file in made.graph.weights.items()}
    files[spec.golden.file] = made.golden
    generated: dict[str, Any] = {"provenance": dict(provenance)}
    if made.parity and made.graph:
        files[RECORD] = encode_record(made.parity, made.graph)
        generated = {"parity": RECORD} | generated
    files["model.yaml"] = _stated(spec, generated)
    return files


def pipeline_files(
    spec: ModelSpec, assets: Mapping[str, bytes], golden: bytes, provenance: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return every file of a pipeline's source folder by path, as `folder_files` of a graph's.

    Raises:
        RefusedError: `model.yaml` names no file for the golden rows.
    """
    if spec.golden is None:
        raise RefusedError(f"model.yaml of {spec.name} needs a section `golden`")
    made = {**assets, spec.golden.file: golden}
    return (
        _by_hand(source_folder(spec.name))
        | made
        | {"model.yaml": _stated(spec, {"provenance": dict(provenance)})}
    )


def write(
    spec: ModelSpec, files: Mapping[str, bytes], *, dry_run: bool, members: Members | None = None
) -> Written:
    """Describe the folder that `files` are and put it where models of its size belong.

    Raises:
        RefusedError: It could not be published; or it is too large to be committed, and an older,
            smaller one is.
    """
    with tempfile.TemporaryDirectory(prefix="hotplate-train-") as scratch:
        folder = Path(scratch) / "folder"
        write_folder(folder, files)
        described = describe(folder, members=members)
    size = sum(map(len, files.values()))
    is_small = size <= MAX_COMMITTED_BYTES
    committed = source_folder(spec.name)
    target = committed if is_small else built_folder(spec.name)
    if not is_small and spec.artefact and (committed / spec.artefact).exists():
        raise RefusedError(
            f"{spec.name} has grown to {size:,} bytes; "
            f"above {MAX_COMMITTED_BYTES:,} it belongs into the cache",
            advice=f"Remove {spec.artefact} from {committed} first.",
        )
    if not dry_run:
        _replace(target, files) if is_small else _build(target, files)
    return Written(target, described.version, described.manifest_sha256, size)


def _stated(spec: ModelSpec, generated: Mapping[str, Any]) -> bytes:
    """Return model.yaml with its generated end anew."""
    stated = _GENERATED.split((source_folder(spec.name) / "model.yaml").read_text("utf-8"))[0]
    end = yaml.safe_dump(dict(generated), sort_keys=False, allow_unicode=True, width=1000)
    return (stated + end).encode()


def _by_hand(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".py" and "__pycache__" not in file.parts
    }


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    # model.yaml last: until then its record and provenance are those of the files it had.
    for path in sorted(files, key=lambda path: (path == "model.yaml", path)):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_name(f".{file.name}.new")
        scratch.write_bytes(files[path])
        scratch.replace(file)


def _build(folder: Path, files: Mapping[str, bytes]) -> None:
    if (folder / "model.yaml").is_file():
        return  # another process built it meanwhile, under the same key
    write_folder(folder, files)
