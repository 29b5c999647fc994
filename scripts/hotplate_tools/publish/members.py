"""Where the publisher finds the members of a pipeline: in a registry, or among models just described."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hotplate.runtime.fetched import Fetched
from hotplate.runtime.forms import choose_form
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.loader import build_model
from hotplate.runtime.session import RUNTIME_VERSION
from hotplate.settings import Settings
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.find import find_version, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hotplate.manifest.schema import FileEntry, Manifest
    from hotplate.runtime.model import Predictor
    from hotplate.store.base import Store
    from hotplate_tools.publish.pipeline import Described

__all__ = ["DescribedMembers", "MemberVersion", "Members", "RegistryMembers", "load_member"]


@dataclass(frozen=True, slots=True)
class MemberVersion:
    """A version that a pipeline may be made of.

    Attributes:
        manifest, version, sha256: The last two as a pipeline pins it.
        read: Returns the verified bytes of one of its files.
    """

    manifest: Manifest
    version: str
    sha256: str
    read: Callable[[FileEntry], bytes]


class Members(Protocol):
    """What finds members."""

    def find(self, name: str, version: str | None) -> MemberVersion:
        """Return a version; None means the one that is live.

        Raises:
            RefusedError: It is not there.
        """
        ...


class RegistryMembers:
    """Members that are published."""

    def __init__(self, store: Store) -> None:
        """Look into the registry `store`."""
        self._store = store

    def find(self, name: str, version: str | None) -> MemberVersion:
        """Return a published version; see `Members.find`."""
        try:
            found = find_version(self._store, name, version)
        except RefusedError as fault:
            raise RefusedError(
                f"{fault}, and the pipeline is made of it",
                advice=f"Publish it first, into the same registry: hotplate publish PATH --name {name}",
            ) from fault
        return MemberVersion(
            found.manifest, found.version, found.sha256, lambda entry: read_file(self._store, entry)
        )


class DescribedMembers:
    """Members that are about to be published together with the pipeline."""

    def __init__(self, described: Iterable[Described]) -> None:
        """Look among `described`."""
        self._described = {each.manifest.name: each for each in described}

    def find(self, name: str, version: str | None) -> MemberVersion:
        """Return a described version; see `Members.find`."""
        found = self._described.get(name)
        if found is None or version not in (None, found.version):
            at = f"@{version}" if version else ""
            raise RefusedError(f"the pipeline is made of {name}{at}, which is not there")
        bodies = {file.entry.path: file.body for file in found.files}

        def read(entry: FileEntry) -> bytes:
            body = bodies[entry.path]
            return body.read_bytes() if isinstance(body, Path) else body

        return MemberVersion(found.manifest, found.version, found.manifest_sha256, read)


def load_member(found: MemberVersion, *, memory_mb: int) -> Predictor:
    """Return what runs a member here, as a fused pipeline will.

    Raises:
        ArtifactError: It is no graph, or ONNX Runtime does not load it.
    """
    ledger = Ledger()
    form = choose_form(found.manifest, ledger, RUNTIME_VERSION)
    files = {
        entry.path: memoryview(found.read(entry))
        for entry in found.manifest.files
        if entry.role in form.roles
    }
    settings = Settings(
        model=found.manifest.name,
        version=found.version,
        manifest_sha256=found.sha256,
        bucket="",
        region="",
        s3_endpoint=None,
        memory_mb=memory_mb,
        cache_dir=None,
        fetch_timeout_s=1,
        signing_keys=(),
    )
    return build_model(Fetched(found.manifest, form, files), settings, ledger).predictor
