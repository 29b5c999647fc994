"""Pipelines from `model.yaml` to answers: published, pinned, and the same fused and across functions."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from hotplate.errors import DigestMismatchError, ManifestError, SignatureError, StepError
from hotplate.http.endpoint import Endpoint
from hotplate.manifest.layout import manifest_key
from hotplate.manifest.schema import decode, encode
from hotplate.protocol.request import encode_request
from hotplate.protocol.response import decode_response
from hotplate.protocol.types import Tensor
from hotplate.runtime.fetched import fetch_here
from hotplate.runtime.fused import fused_member
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.loader import load_model
from hotplate.runtime.pipeline import build_pipeline
from hotplate.runtime.remote import RemoteMember
from hotplate.settings import Settings
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.overview import overviews
from hotplate_tools.publish.pipeline import describe, publish_model
from tests.support.lambda_context import Context
from tests.support.pipelines import (
    CONSOLE,
    pipeline_spec,
    publish_members,
    publish_pipeline,
    write_pipeline,
)
from tests.support.published import MemoryReader
from tests.support.signing import SeedSigner
from tests.support.tiny_models import affine, write_onnx

if TYPE_CHECKING:
    from pathlib import Path

    from hotplate.runtime.model import Model
    from hotplate_tools.publish.pipeline import Published

ASKED = [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]
CHAIN = [
    {"name": "first", "model": "double", "inputs": {"x": "input.x"}},
    {"name": "second", "model": "triple", "inputs": {"x": "first.y"}},
]
ENSEMBLE = [
    {"name": "all", "ensemble": ["double", "triple"], "combine": "mean", "inputs": {"x": "input.x"}},
]
SWITCH = [
    {"name": "sort", "model": "largest", "inputs": {"x": "input.x"}},
    {
        "name": "scale",
        "switch": {"0": "double", "2": "triple"},
        "by": "sort.kind",
        "inputs": {"x": "input.x"},
    },
]
KINDS: dict[str, tuple[list[dict[str, Any]], str, list[list[float]], float]] = {
    "sequence": (CHAIN, "second.y", ASKED, 6),
    "ensemble": (ENSEMBLE, "all.y", ASKED, 2.5),
    "switch to one": (SWITCH, "scale.y", [[9.0, 2.0, 3.0]], 2),
    "switch to another": (SWITCH, "scale.y", [[1.0, 2.0, 3.0]], 3),
}


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    store = FilesystemStore(tmp_path / "registry")
    publish_members(tmp_path, store)
    return store


def made(tmp_path: Path, store: FilesystemStore, kind: str) -> Published:
    steps, source, asked, factor = KINDS[kind]
    answer = (np.array(asked) * factor).tolist()
    folder = write_pipeline(tmp_path / "chain", pipeline_spec(steps, source), asked=asked, answer=answer)
    return publish_pipeline(folder, store)


def settings_of(name: str, version: str, sha256: str, *, keys: tuple[bytes, ...] = ()) -> Settings:
    return Settings(
        model=name,
        version=version,
        manifest_sha256=sha256,
        bucket="models",
        region="us-east-1",
        s3_endpoint=None,
        memory_mb=1769,
        cache_dir=None,
        fetch_timeout_s=5,
        signing_keys=keys,
    )


def reader_of(store: FilesystemStore) -> MemoryReader:
    return MemoryReader({key: store.get(key, max_bytes=10**7).body for key in store.keys("")})


def fused(published: Published, reader: MemoryReader, keys: tuple[bytes, ...] = ()) -> Model:
    settings = settings_of(published.name, published.version, published.manifest_sha256, keys=keys)
    ledger = Ledger()
    fetched = fetch_here(settings, reader, ledger)
    return build_pipeline(
        fetched, settings, ledger, None, lambda one: fused_member(one, reader, settings, ledger)
    )


def split(published: Published, reader: MemoryReader) -> Model:
    """Return the pipeline whose members are endpoints of their own, called by proxy events."""
    settings, ledger = settings_of(published.name, published.version, published.manifest_sha256), Ledger()
    fetched = fetch_here(settings, reader, ledger)

    def remote(one: Any) -> RemoteMember:
        pinned = settings_of(one.name, one.version, one.manifest_sha256)
        endpoint = Endpoint(lambda: load_model(pinned, reader))
        return RemoteMember(one, lambda event: json.dumps(endpoint(json.loads(event), Context())).encode())

    return build_pipeline(fetched, settings, ledger, None, remote)


def answer_of(model: Model, rows: Any) -> Any:
    """Return `y` by the whole way of a request."""
    body, length = encode_request([Tensor("x", "FP32", np.array(rows, np.float32))])
    event = {
        "httpMethod": "POST",
        "path": f"/v2/models/{model.manifest.name}/infer",
        "headers": {"Inference-Header-Content-Length": str(length)},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    result = Endpoint(lambda: model)(event, Context())
    assert result["statusCode"] == 200, result["body"]
    raw = base64.b64decode(result["body"])
    response = decode_response(raw, result["headers"]["inference-header-content-length"])
    return response.outputs[0].array


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_answers_the_same_fused_and_split(
    tmp_path: Path, store: FilesystemStore, kind: str
) -> None:
    published, reader = made(tmp_path, store, kind), reader_of(store)
    _, _, asked, factor = KINDS[kind]
    for model in (fused(published, reader), split(published, reader)):
        np.testing.assert_array_equal(answer_of(model, asked), np.array(asked, np.float32) * factor)


def test_manifest_pins_its_members_and_says_what_memory_they_need(
    tmp_path: Path, store: FilesystemStore
) -> None:
    published = made(tmp_path, store, "sequence")
    raw = store.get(manifest_key("chain", published.version), max_bytes=10**6).body
    manifest = decode(raw)
    assert manifest.pipeline
    assert manifest.platform == "pipeline"
    assert manifest.plan.memory_mb == 1769
    for one in manifest.pipeline.members:
        own = publish_model(tmp_path / f"{one.name}.onnx", store=store, console=CONSOLE)
        assert (one.version, one.manifest_sha256) == (own.version, own.manifest_sha256)
    assert encode(manifest) == raw


def test_pipeline_is_listed_like_any_model_and_has_no_price(tmp_path: Path, store: FilesystemStore) -> None:
    published = made(tmp_path, store, "sequence")
    (listed,) = [each for each in overviews(store) if each.listing.name == "chain"]
    assert (listed.fault, listed.live, listed.usd_per_million) == ("", published.version, None)


def test_new_version_of_a_member_leaves_the_pipeline_as_it_is(tmp_path: Path, store: FilesystemStore) -> None:
    published = made(tmp_path, store, "sequence")
    write_onnx(tmp_path / "other.onnx", affine(7))
    publish_model(tmp_path / "other.onnx", name="double", store=store, console=CONSOLE)
    found = answer_of(fused(published, reader_of(store)), ASKED)
    np.testing.assert_array_equal(found, np.array(ASKED, np.float32) * 6)


def test_member_by_version_is_that_version(tmp_path: Path, store: FilesystemStore) -> None:
    write_onnx(tmp_path / "other.onnx", affine(7))
    other = publish_model(
        tmp_path / "other.onnx", name="double", version="7.0.0", alias=None, store=store, console=CONSOLE
    )
    steps = [{**CHAIN[0], "model": "double@7.0.0"}, CHAIN[1]]
    answer = (np.array(ASKED) * 21).tolist()
    folder = write_pipeline(tmp_path / "chain", pipeline_spec(steps, "second.y"), asked=ASKED, answer=answer)
    manifest = decode(
        store.get(manifest_key("chain", publish_pipeline(folder, store).version), max_bytes=10**6).body
    )
    assert manifest.pipeline
    assert manifest.pipeline.members[0].manifest_sha256 == other.manifest_sha256


REFUSED: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "a member that is not there": ([{**CHAIN[0], "model": "absent"}, CHAIN[1]], {}, "absent has no alias"),
    "another version": ([{**CHAIN[0], "model": "double@9.9.9"}, CHAIN[1]], {}, "has no version 9.9.9"),
    "two versions": ([CHAIN[0], {**CHAIN[1], "model": "double@1.0.0"}], {}, "wanted in two versions"),
    "a cycle": ([{**CHAIN[0], "inputs": {"x": "second.y"}}, CHAIN[1]], {}, "comes later"),
    "a wire that does not fit": ([{**CHAIN[0], "model": "largest"}, CHAIN[1]], {}, "is not there"),
    "no code": (
        [{"name": "first", "code": "half", "inputs": {"x": "input.x"}, "outputs": ["y"]}, CHAIN[1]],
        {},
        "has no step 'half'",
    ),
    "too little memory": (CHAIN, {"plan": {"memory_mb": 512}}, "need 1,769 MB"),
    "an option for graphs": (CHAIN, {"tolerance": 0.1}, "tolerance is for graphs"),
    "a session's memory": (CHAIN, {"plan": {"arena": "off"}}, r"plan\.arena is for graphs"),
    "no rows": (CHAIN, {"golden": None}, "no golden rows"),
    "an artefact": (CHAIN, {"artefact": "model.onnx"}, "has no artefact"),
    "no results": (CHAIN, {"results": {}}, "steps and results"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_pipeline_that_cannot_work_is_refused(tmp_path: Path, store: FilesystemStore, case: str) -> None:
    steps, changes, words = REFUSED[case]
    spec = pipeline_spec(steps, "second.y", **changes)
    folder = write_pipeline(tmp_path / "chain", spec, asked=ASKED, answer=ASKED)
    with pytest.raises(RefusedError, match=words):
        publish_pipeline(folder, store)


def test_refusal_of_an_absent_member_says_what_to_run(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "chain", pipeline_spec(CHAIN, "second.y"), asked=ASKED, answer=ASKED)
    with pytest.raises(RefusedError) as caught:
        publish_pipeline(folder, FilesystemStore(tmp_path / "empty"))
    assert caught.value.advice == (
        "Publish it first, into the same registry: hotplate publish PATH --name double"
    )


def test_member_with_code_around_its_graph_is_refused(tmp_path: Path, store: FilesystemStore) -> None:
    write_onnx(tmp_path / "digits.onnx", affine())
    publish_model(tmp_path / "digits.onnx", store=store, console=CONSOLE)
    spec = pipeline_spec([{**CHAIN[0], "model": "digits"}], "first.y")
    folder = write_pipeline(tmp_path / "chain", spec, asked=ASKED, answer=ASKED)
    with pytest.raises(RefusedError, match="digits has code of its own around its graph"):
        publish_pipeline(folder, store)


def test_wrong_golden_row_is_refused(tmp_path: Path, store: FilesystemStore) -> None:
    folder = write_pipeline(tmp_path / "chain", pipeline_spec(CHAIN, "second.y"), asked=ASKED, answer=ASKED)
    with pytest.raises(RefusedError, match="golden row 1, output 'y'"):
        publish_pipeline(folder, store)


def test_pipeline_is_described_only_with_its_members(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "chain", pipeline_spec(CHAIN, "second.y"), asked=ASKED, answer=ASKED)
    with pytest.raises(RefusedError, match="looked for in a registry"):
        describe(folder)


def test_altered_member_is_not_loaded(tmp_path: Path, store: FilesystemStore) -> None:
    published, reader = made(tmp_path, store, "sequence"), reader_of(store)
    (key,) = [key for key in reader.objects if key.startswith("models/double/") and "manifest.json" in key]
    reader.objects[key] = reader.objects[key].replace(b"double", b"dooble")
    with pytest.raises(DigestMismatchError, match="manifest of double"):
        fused(published, reader)


def test_unsigned_member_of_a_signed_pipeline_is_not_loaded(tmp_path: Path) -> None:
    store, signer = FilesystemStore(tmp_path / "registry"), SeedSigner()
    publish_members(tmp_path, store)
    answer = (np.array(ASKED) * 6).tolist()
    folder = write_pipeline(tmp_path / "chain", pipeline_spec(CHAIN, "second.y"), asked=ASKED, answer=answer)
    published = publish_model(folder, store=store, signer=signer, console=CONSOLE)
    with pytest.raises(SignatureError, match="double"):
        fused(published, reader_of(store), keys=(signer.public_key,))


def test_pipeline_is_no_graph_and_a_graph_no_pipeline(tmp_path: Path, store: FilesystemStore) -> None:
    published, reader = made(tmp_path, store, "sequence"), reader_of(store)
    settings = settings_of("chain", published.version, published.manifest_sha256)
    with pytest.raises(ManifestError, match="'pipeline', not a graph"):
        load_model(settings, reader)
    own = publish_model(tmp_path / "double.onnx", store=store, console=CONSOLE)
    with pytest.raises(ManifestError, match="not a pipeline"):
        fused(own, reader)


def test_member_that_serves_another_version_fails_the_step(tmp_path: Path, store: FilesystemStore) -> None:
    published, reader = made(tmp_path, store, "sequence"), reader_of(store)
    write_onnx(tmp_path / "other.onnx", affine(7))
    other = publish_model(tmp_path / "other.onnx", name="double", store=store, console=CONSOLE)
    reader = reader_of(store)
    newer = settings_of("double", other.version, other.manifest_sha256)
    endpoint = Endpoint(lambda: load_model(newer, reader))
    settings, ledger = settings_of("chain", published.version, published.manifest_sha256), Ledger()

    def remote(one: Any) -> RemoteMember:
        return RemoteMember(one, lambda event: json.dumps(endpoint(json.loads(event), Context())).encode())

    model = build_pipeline(fetch_here(settings, reader, ledger), settings, ledger, None, remote)
    with pytest.raises(StepError, match="step 'first': its function does not serve double"):
        model.predictor.run({"x": np.array(ASKED, np.float32)}, ["y"])


def test_step_that_failed_is_named_to_the_caller(tmp_path: Path, store: FilesystemStore) -> None:
    published, reader = made(tmp_path, store, "sequence"), reader_of(store)
    settings, ledger = settings_of("chain", published.version, published.manifest_sha256), Ledger()
    broken = json.dumps({"statusCode": 503, "headers": {}, "body": "{}"}).encode()
    model = build_pipeline(
        fetch_here(settings, reader, ledger),
        settings,
        ledger,
        None,
        lambda one: RemoteMember(one, lambda event: broken),
    )
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
    event = {
        "httpMethod": "POST",
        "path": "/v2/models/chain/infer",
        "headers": {},
        "body": json.dumps(body),
    }
    result = Endpoint(lambda: model)(event, Context())
    assert result["statusCode"] == 503
    assert result["headers"]["retry-after"] == "2"
    assert json.loads(result["body"])["error"] == "step 'first': double is not ready"


def test_manifest_with_a_broken_wire_is_refused_when_it_is_read(
    tmp_path: Path, store: FilesystemStore
) -> None:
    published = made(tmp_path, store, "sequence")
    manifest = decode(store.get(manifest_key("chain", published.version), max_bytes=10**6).body)
    assert manifest.pipeline
    broken = msgspec.structs.replace(manifest.pipeline, steps=manifest.pipeline.steps[::-1])
    with pytest.raises(ManifestError, match="comes later"):
        decode(encode(msgspec.structs.replace(manifest, pipeline=broken)))
