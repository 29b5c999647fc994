"""A published model in memory: its manifest, its blobs, the settings that pin it, and a reader."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from hotplate.errors import LengthMismatchError, StoreError, StoreNotFoundError
from hotplate.manifest.layout import blob_key, manifest_key, signature_key, version_of
from hotplate.manifest.schema import FileEntry, Manifest, encode
from hotplate.manifest.signature import sign
from hotplate.protocol.types import MetadataTensor
from hotplate.settings import Settings
from tests.support.signing import SeedSigner


@dataclass
class MemoryReader:
    """A `Reader` over a dict; a key in `faults` raises instead, once for each time it is listed."""

    objects: dict[str, bytes]
    faults: dict[str, list[StoreError]] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)

    def read_small(self, key: str, *, max_bytes: int) -> bytes:
        body = self._get(key)
        if len(body) > max_bytes:
            raise LengthMismatchError(f"{key}: {len(body)} bytes, at most {max_bytes}")
        return body

    def read_range(self, key: str, *, start: int, into: memoryview, object_bytes: int) -> None:
        body = self._get(key)
        if len(body) != object_bytes:
            raise LengthMismatchError(f"{key}: {len(body)} bytes, {object_bytes} were published")
        into[:] = body[start : start + len(into)]

    def _get(self, key: str) -> bytes:
        self.reads.append(key)
        if self.faults.get(key):
            raise self.faults[key].pop(0)
        if key not in self.objects:
            raise StoreNotFoundError(key)
        return self.objects[key]


@dataclass(frozen=True)
class Published:
    """A version as a function meets it."""

    manifest: Manifest
    settings: Settings
    reader: MemoryReader
    graph_key: str
    manifest_key: str
    signature_key: str


def affine_graph(factor: float = 2.0) -> bytes:
    """Return y = factor·x, `x` and `y` FP32 [n, 3]."""
    scale = helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "affine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [scale],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(onnx.ModelProto.SerializeToString(model))


def published(
    graph: bytes | None = None, *, name: str = "affine", cache_dir: Path | None = None
) -> Published:
    """Return a version of `graph` (default `affine_graph()`) with the affine graph's signature."""
    body = affine_graph() if graph is None else graph
    sha256 = hashlib.sha256(body).hexdigest()
    manifest = Manifest(
        format=1,
        name=name,
        inputs=(MetadataTensor("x", "FP32", (-1, 3)),),
        outputs=(MetadataTensor("y", "FP32", (-1, 3)),),
        files=(FileEntry("model.onnx", "graph", len(body), sha256),),
    )
    return republished(manifest, {blob_key(sha256): body}, cache_dir)


def republished(manifest: Manifest, blobs: dict[str, bytes], cache_dir: Path | None = None) -> Published:
    """Return the version that `manifest` is, signed by `SeedSigner()`, with these blobs."""
    version, digest = version_of(manifest)
    key = manifest_key(manifest.name, version)
    settings = Settings(
        model=manifest.name,
        version=version,
        manifest_sha256=digest,
        bucket="models",
        region="us-east-1",
        s3_endpoint=None,
        memory_mb=1769,
        cache_dir=cache_dir,
        fetch_timeout_s=5,
        signing_keys=(SeedSigner().public_key,),
    )
    signature = signature_key(manifest.name, version)
    reader = MemoryReader({key: encode(manifest), signature: sign(digest, SeedSigner()), **blobs})
    graph = "" if manifest.is_program else blob_key(manifest.file("graph").sha256)
    return Published(manifest, settings, reader, graph, key, signature)


def published_program(assets: Mapping[str, bytes], *, cache_dir: Path | None = None) -> Published:
    """Return a version that is a program: `x` to `y`, FP32 [n, 3], with these assets by path."""
    digests = {path: hashlib.sha256(body).hexdigest() for path, body in assets.items()}
    manifest = Manifest(
        format=1,
        name="words",
        inputs=(MetadataTensor("x", "FP32", (-1, 3)),),
        outputs=(MetadataTensor("y", "FP32", (-1, 3)),),
        files=(
            *(FileEntry(path, "asset", len(assets[path]), digests[path]) for path in sorted(assets)),
            FileEntry("zzz-golden.jsonl", "golden", 1, "0" * 64),
        ),
        platform="python",
    )
    blobs = {blob_key(digests[path]): body for path, body in assets.items()}
    return republished(manifest, blobs, cache_dir)


def sha256_of(body: bytes) -> str:
    """Return the hex digest of `body`."""
    return hashlib.sha256(body).hexdigest()


def pinned_to(version: Published, raw_manifest: bytes) -> Published:
    """Return the version with other manifest bytes, signed, and with the pin moved to them."""
    digest = hashlib.sha256(raw_manifest).hexdigest()
    version.reader.objects[version.signature_key] = sign(digest, SeedSigner())
    version.reader.objects[version.manifest_key] = raw_manifest
    return replace(version, settings=version.settings._replace(manifest_sha256=digest))
