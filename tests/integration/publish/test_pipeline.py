import hashlib
import json
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from moto import mock_aws
from onnx import TensorProto, helper

from hotplate.aws.clients import s3_client
from hotplate.aws.s3_store import S3Store
from hotplate.errors import RequestError
from hotplate.manifest.layout import alias_key, blob_key, decode_alias, manifest_key
from hotplate.manifest.schema import FileEntry, Golden, Manifest, Plan, Provenance, decode, encode
from hotplate.protocol.types import MetadataTensor
from hotplate.runtime.session import Session
from hotplate.runtime.transforms import Transforms
from hotplate.store.base import Store
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.console import Console
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.publish.build import load_transforms
from hotplate_tools.publish.golden import replay
from hotplate_tools.publish.graph import inspect_graph
from hotplate_tools.publish.pipeline import Described, describe, publish_model
from tests.support.memory_store import MemoryStore
from tests.support.tiny_models import (
    GOLDEN,
    affine,
    info,
    model_of,
    one_node,
    with_external_weights,
    write_folder,
    write_onnx,
)

CONSOLE = Console(as_json=True)
DIGITS = Path(__file__).parents[3] / "scripts/hotplate_tools/models/digits"


def rows_of(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw.splitlines()]


def body(described: Described, path: str) -> bytes:
    found = next(file.body for file in described.files if file.entry.path == path)
    return found if isinstance(found, bytes) else found.read_bytes()


def size_and_digest(described: Described, path: str) -> tuple[int, str]:
    return len(body(described, path)), hashlib.sha256(body(described, path)).hexdigest()


def test_folder_becomes_the_manifest_that_its_yaml_says(tmp_path: Path) -> None:
    described = describe(write_folder(tmp_path / "a"))
    assert described.manifest == Manifest(
        format=1,
        name="affine",
        inputs=(MetadataTensor("x", "FP32", (-1, 3), description="rows of three"),),
        outputs=(MetadataTensor("y", "FP32", (-1, 3)),),
        files=(
            FileEntry("card.md", "card", *size_and_digest(described, "card.md")),
            FileEntry("golden.jsonl", "golden", *size_and_digest(described, "golden.jsonl")),
            FileEntry("model.onnx", "graph", *size_and_digest(described, "model.onnx")),
        ),
        task="scaling",
        producer="hotplate 0.1.0",
        labels={"y": ("a", "b", "c")},
        golden=Golden(rows=1, rtol=1e-4, atol=1e-5),
        plan=Plan(memory_mb=512, intra_op_threads=1, weight_form="inline", load_level="none"),
        provenance=Provenance(command="python train.py", seed=7, metrics={"accuracy": 0.98}),
    )
    assert described.warnings == ()


def test_bare_graph_becomes_a_manifest_with_rows_of_its_own_making(tmp_path: Path) -> None:
    described = describe(write_onnx(tmp_path / "affine.onnx", affine()))
    assert (described.manifest.inputs, described.manifest.outputs) == (
        (MetadataTensor("x", "FP32", (-1, 3)),),
        (MetadataTensor("y", "FP32", (-1, 3)),),
    )
    assert described.manifest.golden == Golden(rows=3, rtol=1e-3, atol=1e-4)
    rows = rows_of(body(described, "golden.jsonl"))
    assert [np.shape(row["inputs"]["x"]) for row in rows] == [(1, 3), (2, 3), (3, 3)]
    for row in rows:
        doubled = np.float32(2) * np.array(row["inputs"]["x"], np.float32)
        assert np.array_equal(np.array(row["outputs"]["y"], np.float32), doubled)


def test_generated_rows_pass_their_own_replay(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "affine.onnx", affine())
    described = describe(file)
    graph = inspect_graph(file)
    assert described.manifest.golden is not None
    replay(
        rows_of(body(described, "golden.jsonl")),
        inputs=graph.inputs,
        outputs=graph.outputs,
        session=Session(graph.body, weights={}, threads=1),
        transforms=None,
        bounds=described.manifest.golden,
    )


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_same_input_gives_the_same_version_anywhere(tmp_path: Path, kind: str) -> None:
    found = []
    for place in ("here", "there/deeper"):
        folder = write_folder(tmp_path / place)
        path = folder if kind == "folder" else write_onnx(tmp_path / place / f"{place[:4]}.onnx", affine())
        found.append(describe(path, "affine"))
    assert found[0].manifest_sha256 == found[1].manifest_sha256
    assert encode(found[0].manifest) == encode(found[1].manifest)
    assert found[0].version == found[0].manifest_sha256[:12]


def test_version_given_is_the_version(tmp_path: Path) -> None:
    described = describe(write_folder(tmp_path / "a"), version="1.2.3")
    assert (described.version, described.manifest.version) == ("1.2.3", "1.2.3")


def test_model_without_a_card_gets_one_that_is_the_same_next_time(tmp_path: Path) -> None:
    bare = describe(write_onnx(tmp_path / "m.onnx", affine()))
    assert body(bare, "card.md").decode().startswith("---\nlibrary_name: onnx\nmodel_name: m\n---\n\n# m\n")
    assert bare.manifest.parameters == {"card": {"library_name": "onnx", "model_name": "m"}}
    folder = write_folder(tmp_path / "affine", card=None, license="mit")
    written = describe(folder)
    assert written.manifest.parameters["card"]["license"] == "mit"
    assert b"- accuracy: 0.98\n" in body(written, "card.md")
    assert describe(folder).version == written.version


def test_head_of_an_own_card_becomes_part_of_the_manifest(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "affine")
    assert describe(folder).manifest.parameters == {}
    (folder / "card.md").write_text("---\nlicense: mit\ntags: [a, b]\n---\n# Affine\n")
    described = describe(folder)
    assert described.manifest.parameters == {"card": {"license": "mit", "tags": ["a", "b"]}}
    assert body(described, "card.md") == (folder / "card.md").read_bytes()


def test_small_external_weights_are_published_inside_the_graph(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.arange(3, dtype="<f4").tobytes())
    described = describe(write_onnx(tmp_path / "shift.onnx", with_external_weights("w.bin")))
    assert [(entry.path, entry.role) for entry in described.manifest.files] == [
        ("card.md", "card"),
        ("golden.jsonl", "golden"),
        ("model.onnx", "graph"),
    ]
    for row in rows_of(body(described, "golden.jsonl")):
        got, expected = np.array(row["outputs"]["y"]), np.array(row["inputs"]["x"]) + np.arange(3)
        assert np.allclose(got, expected)


@pytest.mark.parametrize(
    "model",
    [
        one_node("RandomUniformLike"),
        one_node("Log"),
        model_of(
            [helper.make_node("Gather", ["table", "i"], ["y"])],
            [info("i", ["n"], TensorProto.INT64)],
            [info("y", ["n"])],
            initializers=[helper.make_tensor("table", TensorProto.FLOAT, [0], [])],
        ),
    ],
    ids=["random", "NaN or infinity", "index out of range"],
)
def test_graph_without_stable_answers_is_published_without_rows_but_said(
    tmp_path: Path, model: onnx.ModelProto
) -> None:
    if model.graph.node[0].op_type == "Log":
        model.graph.node.insert(0, helper.make_node("Sub", ["x", "x"], ["zero"]))
        model.graph.node[1].input[0] = "zero"
    described = describe(write_onnx(tmp_path / "m.onnx", model))
    assert (described.manifest.golden, len(described.warnings)) == (None, 1)
    assert [entry.path for entry in described.manifest.files] == ["card.md", "model.onnx"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (one_node("Relu", opset=99), "operator set 99"),
        (one_node("NoSuchThing", domain="com.microsoft"), "does not load"),
    ],
    ids=["operator set too new", "operator that is not there"],
)
def test_graph_that_onnx_runtime_does_not_load_is_refused(
    tmp_path: Path, model: onnx.ModelProto, words: str
) -> None:
    with pytest.raises(RefusedError, match=words):
        describe(write_onnx(tmp_path / "m.onnx", model))


def row(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"inputs": inputs, "outputs": outputs}


X = {"x": [[1.0, 2.0, 3.0]]}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([*GOLDEN, row(X, {"y": [[2.0, 4.1, 6.0]]})], r"golden row 2, output 'y': element \[0, 1\]"),
        ([row(X, {"y": [[2.0, 4.0]]})], "shape"),
        ([row(X, {"y": [[2.0, math.nan, 6.0]]})], r"element \[0, 1\]"),
        ([row(X, {"z": [[2.0]]})], "no output 'z'"),
        ([row({"z": [1.0]}, {"y": [1.0]})], "no input 'z'"),
        ([row({"x": [[1.0, 2.0]]}, {"y": [[1.0]]})], r"shape \[1, 2\], declared \[-1, 3\]"),
        ([row({"x": [["a", "b", "c"]]}, {"y": [[1.0]]})], "golden row 1, input 'x'"),
        ([row({"x": [[1.0], [1.0, 2.0]]}, {"y": [[1.0]]})], "golden row 1, input 'x'"),
        ([], "no row"),
        ([row(X, {})], "line 1"),
        ([{"inputs": X}], "line 1"),
        ([{**GOLDEN[0], "surprise": 1}], "line 1"),
        ([[1]], "line 1"),
    ],
    ids=[
        "another answer",
        "another shape",
        "NaN",
        "unknown output",
        "unknown input",
        "wrong input shape",
        "text",
        "ragged",
        "no rows",
        "no expectations",
        "half a row",
        "surprise",
        "no object",
    ],
)
def test_folder_whose_golden_rows_do_not_hold_is_refused(tmp_path: Path, rows: Any, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        describe(write_folder(tmp_path / "a", rows=rows))
    assert caught.value.exit_code == 3


def test_golden_rows_within_the_stated_tolerance_hold(tmp_path: Path) -> None:
    rows = [row(X, {"y": [[2.0, 4.0003, 6.0]]})]
    describe(write_folder(tmp_path / "a", rows=rows))
    with pytest.raises(RefusedError):
        describe(write_folder(tmp_path / "b", rows=rows, golden={"file": "golden.jsonl", "rtol": 1e-5}))


def test_golden_row_of_inputs_that_come_together_needs_all_of_them() -> None:
    inputs = (
        MetadataTensor("x", "FP32", (-1, 3), one_of="x"),
        MetadataTensor("left", "FP32", (-1, 3), one_of="x/halves"),
        MetadataTensor("right", "FP32", (-1, 3), one_of="x/halves"),
    )
    together = {"left": X["x"], "right": X["x"]}

    class Sums:
        preprocess = staticmethod(lambda given: {"x": given["left"] + given["right"]})
        postprocess = staticmethod(lambda outputs: outputs)

    def replayed(given: dict[str, Any]) -> None:
        replay(
            [{"inputs": given, "outputs": {"y": [[4.0, 8.0, 12.0]]}}],
            inputs=inputs,
            outputs=(MetadataTensor("y", "FP32", (-1, 3)),),
            session=Session(affine().SerializeToString(), weights={}, threads=1),
            transforms=Transforms(Sums.preprocess, Sums.postprocess),
            bounds=Golden(rows=1, rtol=1e-5, atol=1e-6),
        )

    replayed(together)
    with pytest.raises(RefusedError, match="input 'right' is there 0 times, not once"):
        replayed({"left": X["x"]})
    with pytest.raises(RefusedError, match="x is there 2 times, not once"):
        replayed({**together, **X})


class Halves:
    """Pre- and postprocessing of a model that takes text or numbers and answers the sum too."""

    INPUTS = (
        MetadataTensor("x", "FP32", (-1, 3), one_of="x"),
        MetadataTensor("text", "BYTES", (-1,), one_of="x"),
    )
    OUTPUTS = (MetadataTensor("y", "FP32", (-1, 3)), MetadataTensor("sum", "FP64", (-1,)))

    @staticmethod
    def preprocess(inputs: Mapping[str, Any]) -> dict[str, Any]:
        if "x" in inputs:
            return {"x": inputs["x"]}
        if b"" in inputs["text"]:
            raise RequestError("text", expected="numbers", received="nothing")
        return {
            "x": np.array([[float(part) for part in text.split()] for text in inputs["text"]], np.float32)
        }

    @staticmethod
    def postprocess(outputs: Mapping[str, Any]) -> dict[str, Any]:
        return {**outputs, "sum": outputs["y"].sum(axis=1, dtype=np.float64)}


def replay_halves(rows: list[dict[str, Any]], outputs: tuple[MetadataTensor, ...] = Halves.OUTPUTS) -> None:
    replay(
        rows,
        inputs=Halves.INPUTS,
        outputs=outputs,
        session=Session(affine().SerializeToString(), weights={}, threads=1),
        transforms=Transforms(Halves.preprocess, Halves.postprocess),
        bounds=Golden(rows=len(rows)),
    )


def test_rows_are_replayed_through_pre_and_postprocessing() -> None:
    replay_halves(
        [
            row(X, {"sum": [12.0]}),
            row({"text": ["1 2 3", {"b64": "MSAxIDE="}]}, {"y": [[2, 4, 6], [2, 2, 2]], "sum": [12, 6]}),
        ]
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row({**X, "text": ["1 2 3"]}, {"sum": [12.0]})], "x is there 2 times"),
        ([row({"text": ["1 2 3"]}, {"sum": [13.0]})], "output 'sum'"),
        ([row({"text": [""]}, {"sum": [0.0]})], "golden row 1: text: expected numbers"),
    ],
    ids=["both alternatives", "wrong answer", "refused by the model's own code"],
)
def test_rows_that_pre_or_postprocessing_do_not_confirm_are_refused(rows: Any, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        replay_halves(rows)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (MetadataTensor("sum", "FP32", (-1,)), "dtype float64, declared FP32"),
        (MetadataTensor("sum", "FP64", (-1, 1)), "declared"),
        (MetadataTensor("mean", "FP64", (-1,)), "did not come"),
    ],
    ids=["datatype", "rank", "missing"],
)
def test_answers_that_are_not_as_declared_are_refused(output: MetadataTensor, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        replay_halves([row(X, {"y": [[2.0, 4.0, 6.0]]})], (Halves.OUTPUTS[0], output))


def test_digits_folder_of_this_project_is_publishable() -> None:
    described = describe(DIGITS)
    assert (described.manifest.name, described.warnings) == ("digits", ())
    assert load_transforms("digits", {}) is not None


def test_model_with_code_of_its_own_needs_golden_rows(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no golden rows"):
        describe(write_folder(tmp_path / "a", name="digits", golden=None))


def test_function_that_is_not_there_has_no_transforms() -> None:
    assert load_transforms("no-such.model", {}) is None
    assert load_transforms("tensor", {}) is None


@pytest.fixture(params=["memory", "folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "folder":
        yield FilesystemStore(tmp_path / "registry")
    else:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        with mock_aws():
            client = s3_client(region="us-east-1")
            client.create_bucket(Bucket="registry")
            yield S3Store(client, "registry")


def snapshot(store: Store) -> dict[str, bytes]:
    return {key: store.get(key, max_bytes=10**7).body for key in store.keys("")}


def test_published_version_is_whole_and_its_alias_points_at_it(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    published = publish_model(folder, store=store, console=CONSOLE)
    described = describe(folder)
    assert (published.version, published.manifest_sha256, published.wrote) == (
        described.version,
        described.manifest_sha256,
        True,
    )
    found = snapshot(store)
    assert decode(found[manifest_key("affine", published.version)]) == described.manifest
    for entry in described.manifest.files:
        assert len(found[blob_key(entry.sha256)]) == entry.size
    pointer = decode_alias(found[alias_key("affine", "live")])
    assert (pointer.version, pointer.manifest_sha256, pointer.previous) == (
        published.version,
        published.manifest_sha256,
        None,
    )


def test_publishing_twice_writes_nothing_the_second_time(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    first = publish_model(folder, store=store, console=CONSOLE)
    before = snapshot(store)
    second = publish_model(folder, store=store, console=CONSOLE)
    assert (second.wrote, second.actions.pending, second.version) == (False, (), first.version)
    assert snapshot(store) == before


def test_dry_run_plans_everything_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    planned = publish_model(write_folder(tmp_path / "a"), store=store, dry_run=True, console=CONSOLE)
    assert (planned.wrote, planned.dry_run, len(planned.actions.pending)) == (False, True, 5)
    assert snapshot(store) == {}


def test_folder_that_is_refused_leaves_the_registry_alone(store: Store, tmp_path: Path) -> None:
    rows = [row(X, {"y": [[0.0, 0.0, 0.0]]})]
    with pytest.raises(RefusedError):
        publish_model(write_folder(tmp_path / "a", rows=rows), store=store, console=CONSOLE)
    assert snapshot(store) == {}


def test_another_alias_leaves_live_alone(store: Store, tmp_path: Path) -> None:
    live = publish_model(write_onnx(tmp_path / "m.onnx", affine(2)), store=store, console=CONSOLE)
    publish_model(write_onnx(tmp_path / "m.onnx", affine(3)), store=store, alias="candidate", console=CONSOLE)
    publish_model(write_onnx(tmp_path / "m.onnx", affine(4)), store=store, alias=None, console=CONSOLE)
    assert decode_alias(store.get(alias_key("m", "live"), max_bytes=999).body).version == live.version
    assert len(list(store.keys("models/m/versions/"))) == 3
    assert len(list(store.keys("models/m/aliases/"))) == 2


def test_publisher_that_loses_the_alias_is_told(store: Store, tmp_path: Path) -> None:
    theirs = write_onnx(tmp_path / "theirs/m.onnx", affine(5))
    racing = Interrupted(store, lambda: publish_model(theirs, store=store, console=CONSOLE))
    with pytest.raises(FailedError, match="moved meanwhile"):
        publish_model(write_onnx(tmp_path / "m.onnx", affine(6)), store=racing, console=CONSOLE)
    winner = describe(theirs).version
    assert decode_alias(store.get(alias_key("m", "live"), max_bytes=999).body).version == winner


def test_two_publishers_at_once_in_threads(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path / "registry")
    files = [write_onnx(tmp_path / f"{index}/m.onnx", affine(index + 1)) for index in range(4)]
    outcomes: list[str] = []

    def one(file: Path) -> None:
        try:
            outcomes.append(publish_model(file, store=store, console=CONSOLE).version)
        except FailedError:
            outcomes.append("lost")

    threads = [threading.Thread(target=one, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    live = decode_alias(store.get(alias_key("m", "live"), max_bytes=999).body).version
    assert len(outcomes) == 4
    assert live in outcomes
    assert len(list(store.keys("models/m/versions/"))) == 4


class Interrupted:
    """A store that lets somebody else in just before the alias is moved."""

    def __init__(self, store: Store, somebody: Any) -> None:
        self.get, self.size, self.put_new, self.keys = store.get, store.size, store.put_new, store.keys
        self.entries, self.renew, self.remove = store.entries, store.renew, store.remove
        self._store, self._somebody = store, somebody

    def replace(self, key: str, body: bytes, *, etag: str | None) -> str:
        self._somebody()
        return self._store.replace(key, body, etag=etag)
