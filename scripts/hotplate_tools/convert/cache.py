"""Conversions kept, so that the same source is converted once.

Rules kept here:

1. The key is everything that went in: the source's bytes and the rows', the job as the runner gets
   it, the tolerance, the framework's pins, the runtime that it is compared with, and the converting
   code itself. What is not bytes (`package.module:factory`, a folder with links) is not kept.
2. Only a conversion that passed the gate is kept; a source that changed meanwhile is not.
3. An entry is one file, written aside and renamed: two publishers at once, or a kill, leave a whole
   one. One that cannot be read is as good as none.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hotplate.manifest.schema import Golden, Parity
from hotplate.runtime.session import RUNTIME_VERSION
from hotplate_tools.environments import cache_root, pins_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.convert.kinds import Converter

__all__ = ["FORMAT", "Conversion", "find", "keep", "key_of"]

# Raised when code outside of this folder changes what is kept; code in it is part of the key.
FORMAT = 1

# Ours. Entries that nobody asked for in so long are removed.
MAX_AGE_S = 30 * 24 * 3600

_GRAPH, _GOLDEN, _RECORD = "model.onnx", "golden.jsonl", "conversion.json"


class Conversion(msgspec.Struct, frozen=True):
    """What a converted source brings to its manifest.

    Attributes:
        parity: The record.
        golden: How the framework's own answers are compared; None where no case is small and finite
            enough.
        golden_rows: They; empty where there are none.
        labels: Names of the classes by output, where the framework knows them.
    """

    parity: Parity
    golden: Golden | None
    golden_rows: bytes
    labels: dict[str, tuple[str, ...]] = {}


def key_of(
    source: Path, rows: Path | None, converter: Converter, job: Mapping[str, Any], *, tolerance: float
) -> str | None:
    """Return the key of a conversion, or None if its source cannot be told by bytes.

    Args:
        source: The model: a file or folder.
        rows: Evaluation rows; None if they are made up.
        converter: What converts it.
        job: What the runner is told, without names of files.
        tolerance: Of the gate.

    Raises:
        OSError: A file cannot be read.
    """
    body, code = _digest(source), _digest(Path(__file__).parent)
    if body is None or code is None:
        return None
    parts = {
        "format": FORMAT,
        "source": body,
        "rows": [rows.suffix, _digest(rows)] if rows else None,
        "job": dict(job),
        "tolerance": tolerance,
        "runner": converter.runner,
        "code": code,
        "pins": hashlib.sha256(pins_of(converter.environment, converter.by_pip)).hexdigest(),
        "python": [converter.python, platform.python_version(), platform.machine()],
        "compared with": [RUNTIME_VERSION, np.__version__],
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def find(key: str, graph: Path) -> Conversion | None:
    """Write the graph kept under `key` and return its conversion; None if there is no whole entry."""
    entry = _place(key)
    try:
        with zipfile.ZipFile(entry) as archive:
            # Each member has its checksum, which reading compares.
            body = archive.read(_GRAPH)
            found = msgspec.json.decode(archive.read(_RECORD), type=Conversion)
            found = msgspec.structs.replace(found, golden_rows=archive.read(_GOLDEN))
        os.utime(entry)
    except (OSError, zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, msgspec.DecodeError):
        return None
    graph.write_bytes(body)
    return found


def keep(key: str, graph: Path, conversion: Conversion) -> None:
    """Keep a conversion under `key`, whether one is there or not.

    Raises:
        OSError: The cache cannot be written.
    """
    entry = _place(key)
    entry.parent.mkdir(parents=True, exist_ok=True)
    _remove_old(entry.parent)
    record = msgspec.structs.replace(conversion, golden_rows=b"")
    with tempfile.NamedTemporaryFile(dir=entry.parent, suffix=".part", delete_on_close=False) as aside:
        with zipfile.ZipFile(aside, "w") as archive:
            archive.write(graph, _GRAPH)
            archive.writestr(_GOLDEN, conversion.golden_rows)
            archive.writestr(_RECORD, msgspec.json.encode(record))
        aside.flush()
        os.fsync(aside.fileno())
        aside.close()
        Path(aside.name).rename(entry)


def _place(key: str) -> Path:
    return cache_root() / "conversions" / f"{key}.zip"


def _remove_old(folder: Path) -> None:
    before = time.time() - MAX_AGE_S
    for file in folder.iterdir():
        try:
            if file.stat().st_mtime < before:
                file.unlink()
        except FileNotFoundError:
            continue  # another publisher did


def _digest(path: Path) -> str | None:
    """Return the digest of a file, or of the names and bytes of a folder; None for what is neither."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    if not path.is_dir():
        return None
    total = hashlib.sha256()
    for part in sorted(path.rglob("*")):
        if part.is_symlink():
            return None
        if part.is_file() and part.suffix != ".pyc":
            total.update(f"{part.relative_to(path)}\0{_digest(part)}\n".encode())
    return total.hexdigest()
