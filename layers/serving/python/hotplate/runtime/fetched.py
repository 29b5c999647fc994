"""A version's verified bytes, before anything is made of them.

    settings → manifest (pinned, signed) → the form for this processor → files (hashed)

The half of a cold start that needs neither NumPy nor ONNX Runtime, so that it can run in a process of
its own while those are imported (`hotplate.runtime.ahead`), or here.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hotplate.runtime.files import Cache, Placed, fetch_files
from hotplate.runtime.forms import PROGRAM_FORM, choose_form, portable_form
from hotplate.runtime.memory import private_memory
from hotplate.runtime.pinned import pinned_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.manifest.schema import FileEntry, Manifest
    from hotplate.runtime.forms import Form
    from hotplate.runtime.ledger import Ledger
    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["Fetched", "Rest", "chosen", "entries_of", "fetch_here", "files_of", "installed_onnxruntime"]

_VERSION = re.compile(r"""^__version__ = ['"]([^'"]+)""", re.MULTILINE)


class Rest(Protocol):
    """The weights, while they are on their way."""

    def wait(self) -> None:
        """Return when they are there and verified.

        Raises:
            StoreError, ArtifactError, NotAheadError: They never will be.
        """

    def is_unread(self) -> bool:
        """Return whether nothing has read any of them, for certain."""
        ...


class Fetched:
    """What a session is built from.

    Attributes:
        manifest: Parsed, of the pinned digest.
        form: Which graph and weights were chosen.
    """

    def __init__(
        self,
        manifest: Manifest,
        form: Form,
        files: Mapping[str, memoryview],
        rest: Rest | None = None,
    ) -> None:
        """Take verified files.

        Args:
            manifest: Parsed, of the pinned digest.
            form: Which graph and weights were chosen.
            files: By path: of the form's graph and weights, and all assets.
            rest: Of what is still on its way; None: nothing is.
        """
        self.manifest, self.form = manifest, form
        self._files, self._rest = files, rest

    @property
    def files(self) -> Mapping[str, memoryview]:
        """Verified bytes by path. Waits for them.

        Raises:
            StoreError, ArtifactError, NotAheadError: As of `complete`.
        """
        self.complete()
        return self._files

    def of_role(self, role: str, *, unread: bool = False) -> dict[str, memoryview]:
        """Return the files of a role by path; weights that are not there yet are waited for.

        Args:
            role: Of a manifest's file.
            unread: The caller reads none of them until `complete` has returned.

        Raises:
            StoreError, ArtifactError, NotAheadError: As of `complete`.
        """
        files = self._files if unread or role != self.form.weights else self.files
        paths = [entry.path for entry in self.manifest.files if entry.role == role]
        return {path: files[path] for path in paths if path in files}

    def complete(self) -> None:
        """Wait until all that was fetched is there and verified.

        Raises:
            StoreError: Bytes could not be had.
            ArtifactError: They are not those published.
            NotAheadError: The process that fetches them is gone.
        """
        if self._rest:
            self._rest.wait()  # if it raises, whoever asks again meets a fault again
            self._rest = None

    @property
    def is_unread(self) -> bool:
        """Whether nothing has read weights that were not there yet."""
        return self._rest is None or self._rest.is_unread()


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

    manifest, _, form = chosen(settings, reader, ledger, native=native)
    with ledger.phase("fetch"):
        entries = entries_of(manifest, form)
        placed = fetch_files(reader, entries, Cache(settings.cache_dir, ledger), allocate)
    return Fetched(manifest, form, files_of(entries, placed, memory))


def chosen(
    settings: Settings, reader: Reader, ledger: Ledger, *, native: bool = True
) -> tuple[Manifest, bytes, Form]:
    """Return the pinned manifest, its bytes, and the form for this machine; arguments as of `fetch_here`.

    Raises:
        StoreError, ArtifactError: As of `fetch_here`.
    """
    with ledger.phase("manifest"):
        manifest, raw = pinned_manifest(settings, reader, ledger)
    if not manifest.has_graph:
        return manifest, raw, PROGRAM_FORM
    if not native:
        return manifest, raw, portable_form(manifest)
    with ledger.phase("fetch"):
        form = choose_form(manifest, ledger, installed_onnxruntime() if manifest.plan.isa else "")
    return manifest, raw, form


def entries_of(manifest: Manifest, form: Form) -> list[FileEntry]:
    """Return the files of a form in the order in which they are fetched: weights last."""
    entries = [entry for entry in manifest.files if entry.role in form.roles]
    return sorted(entries, key=lambda entry: entry.role == form.weights)


def files_of(
    entries: Sequence[FileEntry], placed: Sequence[Placed], memory: memoryview
) -> dict[str, memoryview]:
    """Return files by path, read-only: views of `memory`, or mapped from the cache."""
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
