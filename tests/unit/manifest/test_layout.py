import hashlib

import pytest

from hotplate.errors import ManifestError
from hotplate.manifest.layout import (
    Alias,
    alias_key,
    blob_key,
    decode_alias,
    encode_alias,
    manifest_key,
    version_of,
)
from hotplate.manifest.schema import FileEntry, Manifest, encode
from hotplate.protocol.types import MetadataTensor

SHA = "ab" * 32
ALIAS = Alias("1.0.0", SHA, "0.9.0", "2026-11-22T10:00:00+00:00", "ada")


def manifest(version: str | None = None) -> Manifest:
    tensor = MetadataTensor("x", "FP32", (-1,))
    return Manifest(1, "m", (tensor,), (tensor,), (FileEntry("model.onnx", "graph", 1, SHA),), version)


def test_version_is_the_head_of_the_digest_unless_given() -> None:
    digest = hashlib.sha256(encode(manifest())).hexdigest()
    assert version_of(manifest()) == (digest[:12], digest)
    assert version_of(manifest("1.2.3")) == ("1.2.3", hashlib.sha256(encode(manifest("1.2.3"))).hexdigest())


def test_keys_are_those_of_the_registry() -> None:
    assert blob_key(SHA) == f"blobs/sha256/{SHA}"
    assert manifest_key("digits", "1.2.3") == "models/digits/versions/1.2.3/manifest.json"
    assert alias_key("digits", "live") == "models/digits/aliases/live.json"


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "a b", "a\n", "é", "a" * 64, "%2e%2e"])
def test_name_that_could_leave_its_place_is_refused(name: str) -> None:
    with pytest.raises(ManifestError):
        manifest_key(name, "1")
    with pytest.raises(ManifestError):
        manifest_key("m", name)
    with pytest.raises(ManifestError):
        alias_key("m", name)


def test_alias_survives_the_round_trip() -> None:
    assert decode_alias(encode_alias(ALIAS)) == ALIAS


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        encode_alias(ALIAS).replace(b'"version"', b'"\xe6ersion"'),
        encode_alias(ALIAS).replace(SHA.encode(), b"short"),
        encode_alias(ALIAS).replace(SHA.encode(), SHA.encode() + b"\\n"),
        encode_alias(ALIAS).replace(b'"1.0.0"', b"1"),
        encode_alias(ALIAS).replace(b'"version"', b'"surprise"'),
    ],
    ids=[
        "empty",
        "array",
        "no member",
        "not UTF-8",
        "no digest",
        "digest and line end",
        "version a number",
        "unknown member",
    ],
)
def test_what_is_no_alias_is_refused(raw: bytes) -> None:
    with pytest.raises(ManifestError):
        decode_alias(raw)
