"""A version's verified bytes, before anything is made of them.

    settings → manifest (pinned, signed) → the form for this processor → files (hashed)

The half of a cold start that needs neither NumPy nor ONNX Runtime, so that it can run in a process of
its own while those are imported (`hotplate.runtime.ahead`), or here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hotplate.runtime.files import Cache, Placed, fetch_files
from hotplate.runtime.forms import PROGRAM_FORM, choose_form, portable_form
from hotplate.runtime.memory import private_memory
from hotplate.runtime.pinned import pinned_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplate.manifest.schema import Manifest
    from hotplate.runtime.forms import Form
    from hotplate.runtime.ledger import Ledger
    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["Fetched", "fetch_here", "fetch_into", "files_of", "installed_onnxruntime"]

_VERSION = re.compile(r"""^__version__ = ['"]([^'"]+)""", re.MULTILINE)


class Fetched(NamedTuple):
    """What a session is built from.

    Attributes:
        manifest: Parsed, of the pinned digest.
        form: Which graph and weights were chosen.
        files: Verified bytes by path: of the form's graph and weights, and all assets.
    """

    manifest: Manifest
    form: Form
    files: Mapping[str, memoryview]

    def of_role(self, role: str) -> dict[str, memoryview]:
        """Return the files of a role by path."""
        paths = [entry.path for entry in self.manifest.files if entry.role == role]
        return {path: self.files[path] for path in paths if path in self.files}


def fetch_here(settings: Settings, reader: Reader, ledger: Ledger, *, native: bool = True) -> Fetched:
    """Return the version that the settings pin, fetched by this process.

    Args:
        settings: What to serve.
        reader: Where the registry lies.
        ledger: Gets the phases.
        native: Whether a graph made for this processor is taken; where a GPU runs it the portable one is.

    Raises:
        StoreError: Bytes could not be had.
        ArtifactError: Bytes are not those published, or not trusted.
    """
    memory = memoryview(b"")

    def allocate(size: int) -> memoryview:
        nonlocal memory
        memory = private_memory(size)
        return memory

    manifest, _, form, placed = fetch_into(settings, reader, ledger, allocate, native=native)
    return Fetched(manifest, form, files_of(manifest, form, placed, memory))


def fetch_into(
    settings: Settings,
    reader: Reader,
    ledger: Ledger,
    allocate: Callable[[int], memoryview],
    *,
    native: bool = True,
) -> tuple[Manifest, bytes, Form, list[Placed]]:
    """Return the manifest, its bytes, the form for this machine, and where its files are; see `fetch_files`.

    Raises:
        StoreError, ArtifactError: As of `fetch_here`.
    """
    with ledger.phase("manifest"):
        manifest, raw = pinned_manifest(settings, reader, ledger)
    with ledger.phase("fetch"):
        form = PROGRAM_FORM
        if manifest.has_graph:
            form = portable_form(manifest)
            if native:
                form = choose_form(manifest, ledger, installed_onnxruntime() if manifest.plan.isa else "")
        entries = [entry for entry in manifest.files if entry.role in form.roles]
        placed = fetch_files(reader, entries, Cache(settings.cache_dir, ledger), allocate)
    return manifest, raw, form, placed


def files_of(
    manifest: Manifest, form: Form, placed: list[Placed], memory: memoryview
) -> dict[str, memoryview]:
    """Return the form's files by path, read-only: views of `memory`, or mapped from the cache."""
    entries = [entry for entry in manifest.files if entry.role in form.roles]
    return {
        entry.path: where.cached[0]
        if where.cached
        else memory[where.offset : where.offset + entry.size].toreadonly()
        for entry, where in zip(entries, placed, strict=True)
    }


def installed_onnxruntime() -> str:
    """Return the version of ONNX Runtime that an import would give, without importing it; "" if unknown."""
    spec = find_spec("onnxruntime")
    for folder in (spec and spec.submodule_search_locations) or ():
        stated = Path(folder) / "capi" / "build_and_package_info.py"
        if stated.is_file() and (found := _VERSION.search(stated.read_text("utf-8"))):
            return found[1]
    return ""
