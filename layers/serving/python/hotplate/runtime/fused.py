"""A member of a pipeline that runs in the pipeline's own process: a session between nothing.

Beside `hotplate.runtime.pipeline`, because a pipeline whose members run in functions of their own imports no
ONNX Runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate.errors import ManifestError
from hotplate.runtime.fetched import fetch_here
from hotplate.runtime.loader import build_model

if TYPE_CHECKING:
    from hotplate.manifest.steps import Member
    from hotplate.runtime.ledger import Ledger
    from hotplate.runtime.model import Predictor
    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["fused_member"]


def fused_member(member: Member, reader: Reader, settings: Settings, ledger: Ledger) -> Predictor:
    """Return a member, fetched, verified by its own manifest and signature, loaded and warmed up.

    Args:
        member: As the pipeline pins it.
        reader: Where the registry lies.
        settings: Of the pipeline's function.
        ledger: Gets the phases.

    Raises:
        StoreError: Bytes could not be had.
        ArtifactError: They are not trusted, are no graph, or not what the pipeline says.
    """
    pinned = settings._replace(
        model=member.name, version=member.version, manifest_sha256=member.manifest_sha256
    )
    fetched = fetch_here(pinned, reader, ledger)
    if (fetched.manifest.inputs, fetched.manifest.outputs) != (member.inputs, member.outputs):
        raise ManifestError(
            f"{member.name} {member.version} takes or gives other tensors than the pipeline says"
        )
    return build_model(fetched, pinned, ledger).predictor
