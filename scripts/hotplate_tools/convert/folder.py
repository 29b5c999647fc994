"""A converted model as a source folder: published from there without its framework.

The folder holds the graph, its weights, golden rows with the framework's answers, the record of the
parity gate, and a `model.yaml` that names them. Publishing it gives the manifest that publishing the
framework's own file gives, parity included.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hotplate_tools.convert.converted import ConvertOptions, as_onnx
from hotplate_tools.convert.record import encode_record
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.build import build_manifest
from hotplate_tools.publish.source import read_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.manifest.schema import Manifest
    from hotplate_tools.console import Console
    from hotplate_tools.publish.build import Prepared
    from hotplate_tools.publish.source import Source

__all__ = ["RECORD", "Converted", "convert_into", "write_folder"]

RECORD = "parity.json"


@dataclass(frozen=True, slots=True)
class Converted:
    """What `hotplate convert` wrote, or would.

    Attributes:
        folder: Where.
        files: Sizes in bytes, by path.
        manifest: What publishing the folder gives, but for its number.
    """

    folder: Path
    files: Mapping[str, int]
    manifest: Manifest


def convert_into(
    path: Path, folder: Path, *, name: str | None, options: ConvertOptions, dry_run: bool, console: Console
) -> Converted:
    """Convert the model at `path` and write it as source folder `folder`, which must not be there yet.

    Args:
        path: As for publishing.
        folder: Written whole or not at all.
        name: Model name; None takes the one in `model.yaml`, or the file's.
        options: How to convert.
        dry_run: Convert and compare; write nothing.
        console: Told while it works.

    Raises:
        RefusedError: `folder` is there; or the source is not fit to be published.
        FailedError: The framework cannot be installed, or failed.
    """
    if folder.exists():
        raise RefusedError(f"{folder} is there already", advice="Give another folder, or remove it.")
    with tempfile.TemporaryDirectory(prefix="hotplate-convert-") as scratch:
        source = as_onnx(read_source(path, name), options, Path(scratch), console)
        with console.step("Checking the ONNX file"):
            prepared = build_manifest(source, version=None)
        for warning in prepared.warnings:
            console.warn(warning)
        files = _files(source, prepared)
    if not dry_run:
        write_folder(folder, files)
    sizes = {name: len(body) for name, body in sorted(files.items())}
    return Converted(folder, sizes, prepared.manifest)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for path, body in files.items():
            file = scratch / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
        scratch.chmod(0o755)
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _files(source: Source, prepared: Prepared) -> dict[str, bytes]:
    graph, manifest = prepared.graph, prepared.manifest
    files = {"model.onnx": graph.body}
    files |= {location: file.read_bytes() for location, file in graph.weights.items()}
    files |= {path: file.read_bytes() for path, file in source.assets.items()}
    kept = {"golden": "golden.jsonl", "card": "card.md"}
    for file in prepared.files:
        if file.entry.role in kept:
            body = file.body if isinstance(file.body, bytes) else file.body.read_bytes()
            files[kept[file.entry.role]] = body
    if manifest.parity:
        files[RECORD] = encode_record(manifest.parity, graph)
    document = _stated(source) if source.spec else _derived(manifest)
    document |= {"name": source.name, "artefact": "model.onnx"}
    document |= {"card": "card.md"} if "card.md" in files else {}
    document |= {"parity": RECORD} if manifest.parity else {}
    files["model.yaml"] = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110).encode()
    return files


def _stated(source: Source) -> dict[str, Any]:
    """Return what `model.yaml` says, without what converting has used up."""
    assert source.spec is not None  # noqa: S101
    document = source.spec.model_dump(mode="json", exclude_defaults=True)
    for key in ("evaluation", "tolerance", "training"):
        document.pop(key, None)
    if source.golden:
        document["golden"]["file"] = "golden.jsonl"
    return document


def _derived(manifest: Manifest) -> dict[str, Any]:
    """Return a `model.yaml` for a model that came without one."""
    document: dict[str, Any] = {"name": manifest.name}
    for kind, tensors in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        document[kind] = [
            {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in tensors
        ]
    document["artefact"] = "model.onnx"
    if manifest.labels:
        document["labels"] = {output: list(words) for output, words in manifest.labels.items()}
    if manifest.golden:
        golden = manifest.golden
        document["golden"] = {"file": "golden.jsonl", "rtol": golden.rtol, "atol": golden.atol}
    if manifest.provenance.framework:
        document["provenance"] = {"framework": manifest.provenance.framework}
    return document
