"""The digits model as it lies in a registry: keys and bytes, without a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import hotplate_tools.models.digits as digits
from hotplate.manifest.layout import blob_key, manifest_key, signature_key
from hotplate.manifest.schema import encode
from hotplate.manifest.signature import sign
from hotplate_tools.publish.pipeline import describe
from tests.support.signing import SeedSigner

FOLDER = Path(digits.__path__[0])


@dataclass(frozen=True)
class Registry:
    """Objects by key, and which of them is what."""

    objects: dict[str, bytes]
    version: str
    manifest_sha256: str
    manifest_key: str
    signature_key: str
    graph_key: str

    @property
    def parameters(self) -> dict[str, str]:
        return {
            "DigitsModelVersion": self.version,
            "DigitsManifestSha256": self.manifest_sha256,
            "SigningKeys": SeedSigner().pinned,
        }


def digits_registry() -> Registry:
    """Return what publishing digits writes, signed by `SeedSigner()`, besides the alias."""
    described = describe(FOLDER)
    key = manifest_key("digits", described.version)
    signature = signature_key("digits", described.version)
    graph = described.manifest.file("graph")
    objects = {
        blob_key(file.entry.sha256): file.body if isinstance(file.body, bytes) else file.body.read_bytes()
        for file in described.files
    }
    signed = sign(described.manifest_sha256, SeedSigner())
    return Registry(
        {key: encode(described.manifest), signature: signed, **objects},
        described.version,
        described.manifest_sha256,
        key,
        signature,
        blob_key(graph.sha256),
    )
