"""The cold start, link by link: each one is broken, and nothing is computed from what came."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from hotplate.errors import (
    ArtifactError,
    DigestMismatchError,
    GraphError,
    HotplateError,
    LengthMismatchError,
    ManifestError,
    ManifestFormatError,
    SignatureError,
    StoreDeniedError,
    StoreNotFoundError,
    StoreUnavailableError,
)
from hotplate.limits import MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES
from hotplate.manifest.layout import blob_key
from hotplate.manifest.schema import FileEntry, encode
from hotplate.manifest.signature import sign
from hotplate.protocol.types import InferenceRequest, RequestOutput, Tensor
from hotplate.runtime.loader import load_model
from hotplate.runtime.model import TransformedGraph
from hotplate.runtime.session import Session
from hotplate.runtime.transforms import Transforms
from tests.support.published import Published, affine_graph, pinned_to, published, republished
from tests.support.signing import SeedSigner

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)
REQUEST = InferenceRequest("7", (Tensor("x", "FP32", ROWS),), (RequestOutput("y", binary=True),))


def load_fails(version: Published, error: type[HotplateError], match: str | None = None) -> None:
    """Loading raises `error`, and not one blob was read if the manifest was at fault."""
    with pytest.raises(error, match=match):
        load_model(version.settings, version.reader)


def test_pinned_version_is_loaded_and_answers() -> None:
    version = published()
    model = load_model(version.settings, version.reader)
    answer = model.predict(REQUEST)
    np.testing.assert_array_equal(answer.outputs[0].array, ROWS * 2)
    assert (answer.model_name, answer.model_version, answer.id) == ("affine", version.settings.version, "7")
    assert answer.binary == {"y"}
    assert list(model.ledger.phases) == ["runtime", "imports", "manifest", "fetch", "session"]
    # The signature is read beside the manifest; the graph only after both.
    assert set(version.reader.reads[:2]) == {version.manifest_key, version.signature_key}
    assert version.reader.reads[2:] == [version.graph_key]
    assert model.ledger.notes == []


def test_transforms_stand_around_the_graph() -> None:
    version = published()
    transforms = Transforms(lambda arrays: {"x": arrays["x"] + 1}, lambda results: {"y": -results["y"]})
    model = load_model(version.settings, version.reader, transforms)
    np.testing.assert_array_equal(model.predict(REQUEST).outputs[0].array, -(ROWS + 1) * 2)


def with_asset(body: bytes) -> Published:
    """The affine version with an asset `factor.json`."""
    version = published()
    sha256 = hashlib.sha256(body).hexdigest()
    asset = FileEntry("factor.json", "asset", len(body), sha256)
    manifest = msgspec.structs.replace(version.manifest, files=(asset, *version.manifest.files))
    graph = {version.graph_key: version.reader.objects[version.graph_key]}
    return republished(manifest, {blob_key(sha256): body, **graph})


def by_factor(assets: Mapping[str, bytes]) -> Transforms:
    factor = float(json.loads(assets["factor.json"]))
    return Transforms(lambda arrays: {"x": arrays["x"] * np.float32(factor)}, lambda results: results)


def test_function_makes_its_steps_of_the_versions_assets() -> None:
    version = with_asset(b"10")
    model = load_model(version.settings, version.reader, by_factor)
    np.testing.assert_array_equal(model.predict(REQUEST).outputs[0].array, ROWS * 20)
    assert list(model.ledger.phases)[-3:] == ["fetch", "assets", "session"]


@pytest.mark.parametrize(
    ("version", "what"),
    [(published(), r"\(none\).*KeyError"), (with_asset(b"ten"), r"\(factor\.json\).*JSONDecodeError")],
    ids=["missing", "unreadable"],
)
def test_assets_that_the_function_cannot_use_are_no_model(version: Published, what: str) -> None:
    with pytest.raises(ManifestError, match=f"the assets of 'affine' {what}"):
        load_model(version.settings, version.reader, by_factor)


def test_asset_that_was_altered_never_reaches_the_function() -> None:
    version = with_asset(b"10")
    version.reader.objects[blob_key(hashlib.sha256(b"10").hexdigest())] = b"11"
    with pytest.raises(DigestMismatchError):
        load_model(version.settings, version.reader, by_factor)


def test_rollout_runs_the_graph_on_its_own_answers() -> None:
    def twice(feeds: Mapping[str, Any], run: Any) -> Any:
        return run({"x": run(feeds)["y"]})

    version = published()
    steps = Transforms(lambda arrays: {"x": arrays["x"] + 1}, lambda results: {"y": -results["y"]}, twice)
    model = load_model(version.settings, version.reader, steps)
    np.testing.assert_array_equal(model.predict(REQUEST).outputs[0].array, -(ROWS + 1) * 4)


def test_altered_manifest_is_refused_before_it_is_parsed() -> None:
    version = published()
    raw = version.reader.objects[version.manifest_key]
    version.reader.objects[version.manifest_key] = raw.replace(b'"affine"', b'"other1"')
    load_fails(version, DigestMismatchError, "the function pins")
    assert version.graph_key not in version.reader.reads


def test_manifest_longer_than_the_cap_is_refused() -> None:
    version = published()
    load_fails(pinned_to(version, b" " * (MAX_MANIFEST_BYTES + 1)), LengthMismatchError)


def test_manifest_of_a_newer_format_says_so() -> None:
    version = published()
    raw = encode(msgspec.structs.replace(version.manifest, format=2))
    load_fails(pinned_to(version, raw), ManifestFormatError, "format 2, this hotplate reads format 1")


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{}", b"\xff", b'{"format":1}', b'{"format":"1"}'],
    ids=["empty", "list", "no-format", "not-utf8", "nothing-else", "format-is-text"],
)
def test_bytes_that_are_no_manifest_are_refused(raw: bytes) -> None:
    load_fails(pinned_to(published(), raw), ManifestError)


def test_manifest_of_another_model_is_refused() -> None:
    version = published()
    other = encode(msgspec.structs.replace(version.manifest, name="other"))
    load_fails(pinned_to(version, other), ManifestError, "is of other")


def test_manifest_of_another_version_is_refused() -> None:
    version = published()
    other = encode(msgspec.structs.replace(version.manifest, version="1.2.3"))
    load_fails(pinned_to(version, other), ManifestError, "1.2.3")


def test_altered_blob_is_refused() -> None:
    version = published()
    body = version.reader.objects[version.graph_key]
    version.reader.objects[version.graph_key] = body[:-1] + bytes([body[-1] ^ 1])
    load_fails(version, DigestMismatchError)


@pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"x"], ids=["cut", "longer"])
def test_blob_of_another_length_is_refused(change: object) -> None:
    version = published()
    assert callable(change)
    version.reader.objects[version.graph_key] = change(version.reader.objects[version.graph_key])
    load_fails(version, LengthMismatchError)


@pytest.mark.parametrize("which", ["manifest_key", "graph_key"])
def test_missing_object_is_named(which: str) -> None:
    version = published()
    key = getattr(version, which)
    del version.reader.objects[key]
    load_fails(version, StoreNotFoundError, key)


@pytest.mark.parametrize("error", [StoreDeniedError, StoreUnavailableError])
def test_store_faults_leave_as_they_are(error: type[HotplateError]) -> None:
    version = published()
    version.reader.faults[version.manifest_key] = [error("because")]  # type: ignore[list-item]
    load_fails(version, error, "because")


def test_bytes_that_are_no_graph_are_a_graph_error() -> None:
    load_fails(published(b"not a protobuf"), GraphError)


def test_golden_rows_and_card_are_not_fetched() -> None:
    version = published()
    golden = FileEntry("golden.jsonl", "golden", 10, "0" * 64)
    manifest = msgspec.structs.replace(version.manifest, files=(golden, *version.manifest.files))
    again = republished(manifest, {version.graph_key: affine_graph()})
    load_model(again.settings, again.reader)
    assert set(again.reader.reads) == {again.manifest_key, again.signature_key, again.graph_key}


def test_cached_file_of_another_process_is_verified_again(tmp_path: Path) -> None:
    version = published(cache_dir=tmp_path)
    load_model(version.settings, version.reader)
    sha256 = version.manifest.file("graph").sha256
    (tmp_path / sha256).write_bytes(affine_graph(factor=3.0))
    model = load_model(version.settings, version.reader)
    np.testing.assert_array_equal(model.predict(REQUEST).outputs[0].array, ROWS * 2)
    assert "damaged" in model.ledger.notes[0]


def test_threads_come_from_the_memory_not_from_the_host() -> None:
    settings = published().settings
    by_memory = {memory: settings._replace(memory_mb=memory).vcpus for memory in (128, 1769, 3538, 10240)}
    assert by_memory == {128: 1, 1769: 1, 3538: 2, 10240: 6}


def test_every_artifact_fault_is_one_family() -> None:
    assert issubclass(GraphError, ArtifactError)


def test_every_trusted_key_counts() -> None:
    version = published()
    rotated = version.settings._replace(signing_keys=(SeedSigner(2).public_key, SeedSigner(1).public_key))
    load_model(rotated, version.reader)


@pytest.mark.parametrize("denied", [False, True], ids=["missing", "denied, as S3 says of what is missing"])
def test_version_without_a_signature_is_refused(*, denied: bool) -> None:
    version = published()
    del version.reader.objects[version.signature_key]
    if denied:
        version.reader.faults[version.signature_key] = [StoreDeniedError("AccessDenied")]
    load_fails(version, SignatureError, "no signature that can be read")
    assert version.graph_key not in version.reader.reads


def test_signature_of_another_key_is_refused() -> None:
    version = published()
    version.reader.objects[version.signature_key] = sign(version.settings.manifest_sha256, SeedSigner(2))
    load_fails(version, SignatureError, "not trusted here")
    assert version.graph_key not in version.reader.reads


def test_signature_of_another_version_is_refused() -> None:
    version, other = published(), published(affine_graph(factor=3.0))
    version.reader.objects[version.signature_key] = other.reader.objects[other.signature_key]
    load_fails(version, SignatureError, "not one of key")
    assert version.graph_key not in version.reader.reads


def test_signature_longer_than_the_cap_is_refused() -> None:
    version = published()
    version.reader.objects[version.signature_key] += b" " * MAX_SIGNATURE_BYTES
    load_fails(version, LengthMismatchError)


@pytest.mark.parametrize("raw", [b"not json", b'{"format":99}'], ids=["not json", "newer format"])
def test_manifest_is_not_parsed_before_it_is_verified(raw: bytes) -> None:
    version = pinned_to(published(), raw)
    load_fails(version, ManifestError)
    version.reader.objects[version.signature_key] = sign(version.settings.manifest_sha256, SeedSigner(2))
    load_fails(version, SignatureError)


def test_digest_is_compared_before_the_signature() -> None:
    version = published()
    version.reader.objects[version.manifest_key] += b" "
    del version.reader.objects[version.signature_key]
    load_fails(version, DigestMismatchError)


def test_store_fault_under_the_signature_is_the_store_s() -> None:
    version = published()
    version.reader.faults[version.signature_key] = [StoreUnavailableError("slow")]
    load_fails(version, StoreUnavailableError, "slow")


def test_unsigned_version_is_served_in_development_and_the_ledger_says_so() -> None:
    version = published()
    del version.reader.objects[version.signature_key]
    model = load_model(version.settings._replace(signing_keys=()), version.reader)
    assert model.ledger.notes == ["no signature was verified: HOTPLATE_UNSIGNED allows that"]
    assert version.signature_key not in version.reader.reads


@pytest.mark.parametrize(("arena", "kept"), [("on", True), ("off", False)])
def test_arena_is_as_the_plan_says(arena: Any, kept: bool) -> None:
    version = published()
    plan = msgspec.structs.replace(version.manifest.plan, arena=arena)
    version = republished(
        msgspec.structs.replace(version.manifest, plan=plan), {version.graph_key: affine_graph()}
    )
    predictor = load_model(version.settings, version.reader).predictor
    assert isinstance(predictor, TransformedGraph)
    assert isinstance(predictor.session, Session)
    assert predictor.session._session.get_session_options().enable_cpu_mem_arena is kept


def test_processes_of_one_environment_leave_large_weights_as_they_are() -> None:
    version = published()
    plan = msgspec.structs.replace(version.manifest.plan, prepacking="later")
    version = republished(
        msgspec.structs.replace(version.manifest, plan=plan), {version.graph_key: affine_graph()}
    )
    model = load_model(version.settings._replace(processes=4), version.reader)
    assert isinstance(model.predictor, TransformedGraph)
    assert type(model.predictor.session) is Session
    assert model.ledger.notes == ["weights are not rearranged: 4 processes share them as they are"]
