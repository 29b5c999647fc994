"""Packages that a function brings although its layers hold them: taken out, so that no zip has them twice.

Requirements with hashes must name every package, those that come with a layer too (NumPy for OpenCV, say).
The pins are the layer's by `-c`; where they are not, the two would be on the path at once, and that is
refused by name.

Source: PyPA, "Recording installed projects" (RECORD, names of .dist-info folders).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["layers_of", "remove_repeated"]


def layers_of(document: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the logical ids of each function's layers in a template, as `read_yaml` gives it."""
    shared = document.get("Globals", {}).get("Function", {}).get("Layers", [])
    return {
        name: tuple(
            layer["Ref"]
            for layer in (*shared, *resource.get("Properties", {}).get("Layers", []))
            if isinstance(layer, dict) and layer.get("Ref") in document["Resources"]
        )
        for name, resource in document["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def remove_repeated(build: Path, layers: Mapping[str, Sequence[str]]) -> None:
    """Remove from every built function the packages that its layers hold.

    Args:
        build: Folder with one folder a function and layer, by logical id.
        layers: Layers by function.

    Raises:
        RefusedError: A function brings another version of such a package.
    """
    for function, names in layers.items():
        held = {
            package: info for name in names for package, info in _packages(build / name / "python").items()
        }
        for package, info in _packages(build / function).items():
            if package not in held:
                continue
            if info.name != held[package].name:
                raise RefusedError(
                    f"{function} brings {info.stem}, its layer holds {held[package].stem}",
                    advice="Compile its requirements.txt with -c layers/<layer>/requirements.txt.",
                )
            _remove(info)


def _packages(folder: Path) -> dict[str, Path]:
    return {info.name.partition("-")[0].lower(): info for info in folder.glob("*.dist-info")}


def _remove(info: Path) -> None:
    home = info.parent
    with (info / "RECORD").open(newline="", encoding="utf-8") as record:
        files = [home / row[0] for row in csv.reader(record) if row]
    for file in files:
        if file.resolve().is_relative_to(home.resolve()):  # scripts are recorded outside
            file.unlink(missing_ok=True)
    folders = {parent for file in files for parent in file.parents if parent.is_relative_to(home)} - {home}
    for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
