"""magika as its publisher trained it, held against the publisher's program: `hotplate train magika`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from functions.magika.model import CONFIG, CONTENT_TYPES, transforms
from hotplate_tools.failures import FailedError
from hotplate_tools.training.packages import (
    MOONSHINE,
    SCIKIT_IMAGE,
    SCIKIT_LEARN,
    Package,
    member_names,
    read_member,
)
from hotplate_tools.training.trainer import ask_here, ask_in_batches, objects

if TYPE_CHECKING:
    from magika import Magika

    from hotplate_tools.training.trainer import Arrays, Ask

__all__ = ["DATA", "NOTE", "SEED", "build", "compare", "evaluate", "export", "golden", "prepare"]

MAGIKA = Package(
    "pypi",
    "magika",
    "1.0.3",
    "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
    "magika-1.0.3-py3-none-manylinux_2_28_x86_64.whl",
)
DATA = (MAGIKA, SCIKIT_LEARN, SCIKIT_IMAGE, MOONSHINE)
NOTE = "weights of the first as they come; measured on files out of all of them"
SEED = 0

# What the publisher calls the files of a suffix; only these are measured.
SUFFIXES = {
    ".css": "css", ".csv": "csv", ".gif": "gif", ".gz": "gzip", ".jpg": "jpeg", ".json": "json",
    ".md": "markdown", ".npy": "npy", ".npz": "npz", ".onnx": "onnx", ".png": "png", ".py": "python",
    ".pyi": "python", ".rst": "rst", ".so": "elf", ".tif": "tiff", ".wav": "wav", ".xml": "xml",
}  # fmt: skip
MOST_OF_A_SUFFIX = 40
# Bytes: sixteen of them fit a request. A shorter file may be nothing but a comment.
LARGEST, SMALLEST = 200_000, 100
BATCH = 16

# Decided without the network, or by the thresholds.
ODD_ONES = (
    b"",
    b"a",
    b" \n\t ",
    b"\xff\xfe",
    b"   short   ",
    b"x" * 8,
    b" " * 5000 + b"import os\n",
    bytes(range(256)) * 4,
)


def prepare(packages: Sequence[Path]) -> tuple[dict[str, bytes], Arrays]:
    """Return the package's files; held out: `file`, and `label` by the suffix, "" for those without."""
    kept = {
        "model.onnx": read_member(packages[0], "magika/models/standard_v3_3/model.onnx"),
        CONFIG: read_member(packages[0], "magika/models/standard_v3_3/config.min.json"),
        CONTENT_TYPES: read_member(packages[0], "magika/config/content_types_kb.min.json"),
    }
    files, labels = [*ODD_ONES], [""] * len(ODD_ONES)
    taken: Counter[str] = Counter()
    for package in packages:
        for name in member_names(package):
            suffix = PurePosixPath(name).suffix
            if suffix not in SUFFIXES or taken[suffix] == MOST_OF_A_SUFFIX:
                continue
            body = read_member(package, name)
            if SMALLEST <= len(body) <= LARGEST:
                taken[suffix] += 1
                files.append(body)
                labels.append(SUFFIXES[suffix])
    return kept, {"file": objects(files), "label": np.array(labels)}


def build(training: dict[str, bytes]) -> tuple[dict[str, bytes], Magika]:
    """Return the package's files, and its program."""
    from magika import Magika

    return training, Magika()


def export(
    network: tuple[dict[str, bytes], Magika], training: dict[str, bytes], held_out: Arrays, folder: Path
) -> str:
    """Write the graph and the assets as they are in the package."""
    for name, body in training.items():
        (folder / name).write_bytes(body)
    return "model.onnx"


def compare(network: tuple[dict[str, bytes], Magika], held_out: Arrays, folder: Path) -> dict[str, float]:
    """Return on how many files our label and score are the program's, and how many files there are.

    Raises:
        FailedError: Not on all.
    """
    assets, program = network
    ours = ask_in_batches(
        ask_here(folder / "model.onnx", transforms(assets)), {"file": held_out["file"]}, BATCH
    )
    differ = []
    for row, file in enumerate(held_out["file"]):
        wanted = program.identify_bytes(file)
        label, kind = str(wanted.output.label), wanted.output.mime_type
        same = (ours["label"][row].decode(), ours["mime_type"][row].decode()) == (label, kind)
        if not (same and abs(float(ours["score"][row]) - wanted.score) < 1e-5):
            differ.append(
                f"file {row}: {ours['label'][row]!r} {ours['score'][row]}, not {label} {wanted.score}"
            )
    if differ:
        raise FailedError(f"{len(differ)} answers are not those of magika itself: {'; '.join(differ[:5])}")
    return {"equal_to_program": 1.0, "files": float(len(held_out["file"]))}


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return how often the label is the one that the file's suffix stands for."""
    has_suffix = held_out["label"] != ""
    found = ask_in_batches(ask, {"file": held_out["file"][has_suffix]}, BATCH)["label"]
    right = [
        label.decode() == wanted for label, wanted in zip(found, held_out["label"][has_suffix], strict=True)
    ]
    return {"accuracy": float(np.mean(right))}


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return the odd ones, and four short files of this project's own."""
    own = (
        b"import os\n\nfor name in sorted(os.listdir('.')):\n    print(name, os.path.getsize(name))\n",
        b'{"name": "hotplate", "versions": ["0.1.0", "0.2.0"], "private": true, "files": []}\n',
        b"<!doctype html>\n<html><head><title>A page</title></head><body><p>Hello.</p></body></html>\n",
        b"id,height,width\n1,10.5,2\n2,11.5,3\n3,12.25,4\n4,13.0,5\n5,14.75,6\n",
    )
    return [{"file": objects([*ODD_ONES, *own])}]
