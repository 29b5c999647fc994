"""A session is built while its weights are on their way, and never run before they are verified."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper

from hotplate.errors import DigestMismatchError
from hotplate.manifest.layout import blob_key
from hotplate.manifest.schema import FileEntry, Plan
from hotplate.runtime import loader
from hotplate.runtime.fetched import Fetched, fetch_here
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.session import CPU, CUDA, Session
from tests.support.cold_process import cold_process
from tests.support.faulty_s3 import FaultyS3, faulty_s3
from tests.support.heavy_models import EVENT, heavy
from tests.support.published import published, published_program, republished, sha256_of

if TYPE_CHECKING:
    from hotplate.manifest.schema import Prepacking
    from tests.support.published import Published

ASK = """
import json, types
{before}
from hotplate.wiring import model_function
handler = model_function()
event = {event!r}
answer = handler(event, types.SimpleNamespace(
    aws_request_id="r", memory_limit_in_mb="1769", get_remaining_time_in_millis=lambda: 29_000))
print(json.dumps(answer))
"""
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
# The child ends when it begins to read the weights, after it told of the graph.
CHILD_DIES = """
import os, time
from hotplate.aws import s3_reader
ours, read = os.getpid(), s3_reader.S3Reader.read_range
def read_range(self, key, **how):
    if os.getpid() != ours and key == "{key}":
        time.sleep(0.5)
        os._exit(9)
    return read(self, key, **how)
s3_reader.S3Reader.read_range = read_range
"""


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with faulty_s3() as server:
        yield server


def ask(s3: FaultyS3, version: Published, before: str = "") -> tuple[Any, list[dict[str, Any]]]:
    program = ASK.format(before=before, event=EVENT)
    return cold_process(s3, version, program=program)


def weights_key(version: Published) -> str:
    return blob_key(version.manifest.file("weights").sha256)


def underway() -> Published:
    return heavy(3, load_level="none")  # 12 MiB: more than one range


class Coming:
    """Weights on their way; `done` is called when they are waited for."""

    def __init__(self, done: Callable[[], object], *, is_unread: bool = True) -> None:
        self._done, self._is_unread = done, is_unread

    def wait(self) -> None:
        self._done()

    def is_unread(self) -> bool:
        return self._is_unread


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done, in order: sessions that were built, by how their weights are packed."""
    done: list[str] = []

    def built(*arguments: Any, **how: Any) -> Session:
        done.append(how["prepacking"])
        return Session(*arguments, **{**how, "providers": [CPU]})

    monkeypatch.setattr(loader, "Session", built)
    return done


@pytest.mark.parametrize(
    ("prepacking", "level", "providers", "expected"),
    [
        ("off", "none", [CPU], ["off", "weights"]),
        ("later", "none", [CPU], ["off", "weights"]),
        ("parallel", "none", [CPU], ["weights", "parallel"]),
        ("on", "none", [CPU], ["weights", "on"]),
        ("off", "all", [CPU], ["weights", "off"]),
        ("off", "none", [CUDA, CPU], ["weights", "off"]),
    ],
)
def test_only_a_session_that_reads_no_weights_is_built_before_they_are_there(
    order: list[str],
    prepacking: Prepacking,
    level: Literal["all", "none"],
    providers: Sequence[str],
    expected: list[str],
) -> None:
    version = heavy(1, prepacking=prepacking, load_level=level)
    there = fetch_here(version.settings, version.reader, Ledger())
    coming = Coming(lambda: order.append("weights"))
    fetched = Fetched(there.manifest, there.form, there.files, coming)
    loader.build_model(fetched, version.settings, Ledger(), providers=providers)
    assert order == expected


def test_a_session_that_did_read_some_is_built_again(order: list[str]) -> None:
    version = heavy(1, load_level="none")
    there, ledger = fetch_here(version.settings, version.reader, Ledger()), Ledger()
    coming = Coming(lambda: order.append("weights"), is_unread=False)
    fetched = Fetched(there.manifest, there.form, there.files, coming)
    loader.build_model(fetched, version.settings, ledger)
    assert order == ["off", "weights", "off"]
    assert ledger.notes == ["built again: the session reads weights while it is built"]


# Weights come a second after the child told of the graph.
SLOW = """
import os, time
from hotplate.aws import s3_reader
read = s3_reader.S3Reader.read_range
def read_range(self, key, **how):
    if key == "{key}":
        time.sleep(1)
    return read(self, key, **how)
s3_reader.S3Reader.read_range = read_range
"""


def numbers(answer: Any) -> list[float]:
    assert answer["statusCode"] == 200, answer
    data: list[float] = json.loads(answer["body"])["outputs"][0]["data"]
    return data


def test_weights_that_come_after_the_session_are_those_that_answer(s3: FaultyS3) -> None:
    version = underway()
    model = loader.load_model(version.settings, version.reader)
    rows = np.ones((1, 1024), np.float32)
    expected = model.predictor.run({"x": rows}, ["y"])["y"].ravel()
    answer, (cold, _) = ask(s3, version, SLOW.format(key=weights_key(version)))
    np.testing.assert_array_equal(np.array(numbers(answer), np.float32), expected)
    assert cold["notes"] == []  # of a session that was built again, for example
    assert cold["phases_ms"]["wait"] > 500


def outside(elements: int, *, offset: int) -> Published:
    """Return y = x + b, FP32 [n, 3], where `b` is the mean of so many elements outside, from `offset` on."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[elements])
    tensor.data_location = TensorProto.EXTERNAL
    where = {"location": "model.weights", "offset": offset, "length": 4 * elements}
    for key, value in where.items():
        tensor.external_data.add(key=key, value=str(value))
    nodes = [
        helper.make_node("ReduceMean", ["w"], ["b"], keepdims=0),
        helper.make_node("Add", ["x", "b"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "xy")
    graph = helper.make_graph(nodes, "outside", [x], [y], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    body, weights = model.SerializeToString(), bytes(offset) + np.full(elements, 7, np.float32).tobytes()
    digests = [sha256_of(body), sha256_of(weights)]
    manifest = msgspec.structs.replace(
        published().manifest,
        files=(
            FileEntry("model.onnx", "graph", len(body), digests[0]),
            FileEntry("model.weights", "weights", len(weights), digests[1]),
        ),
        plan=Plan(weight_form="borrowed", prepacking="off", load_level="none"),
    )
    return republished(manifest, dict(zip(map(blob_key, digests), (body, weights), strict=True)))


@pytest.mark.parametrize(
    ("elements", "offset", "is_copied"), [(4, 0, True), (1024, 1, True), (1024, 0, False)]
)
def test_what_onnx_runtime_copies_while_it_builds_is_not_copied_too_early(
    s3: FaultyS3, elements: int, offset: int, is_copied: bool
) -> None:
    version = outside(elements, offset=offset)
    event = {**EVENT, "path": "/v2/models/affine/infer", "body": json.dumps(BODY)}
    program = ASK.format(before=SLOW.format(key=weights_key(version)), event=event)
    answer, (cold, _) = cold_process(s3, version, program=program)
    assert numbers(answer) == [8, 9, 10]
    assert bool(cold["notes"]) == is_copied


def test_the_child_tells_of_the_graph_and_then_of_the_weights(s3: FaultyS3) -> None:
    version = underway()
    answer, (cold, _) = ask(s3, version)
    assert answer["statusCode"] == 200
    assert list(cold["phases_ms"]) == ["runtime", "imports", "wait", "session"]
    assert set(cold["beside_ms"]) == {"manifest", "fetch"}
    assert cold["notes"] == []


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


@pytest.mark.parametrize("at", [0, 9_000_000, -2], ids=["first range", "second range", "end"])
def test_weights_that_turn_out_wrong_answer_nothing(s3: FaultyS3, at: int) -> None:
    version = underway()
    s3.objects.update(version.reader.objects)
    key = weights_key(version)
    s3.objects[key] = flipped(s3.objects[key], at)
    answer, logged = ask(s3, version)
    assert answer["statusCode"] == 500
    assert json.loads(answer["body"])["type"].endswith("DigestMismatchError")
    assert not any(line.get("hotplate") == "cold" for line in logged)


def test_weights_that_are_missing_are_told_by_name(s3: FaultyS3) -> None:
    version = underway()
    s3.objects.update(version.reader.objects)
    del s3.objects[weights_key(version)]
    answer, _ = ask(s3, version)
    assert json.loads(answer["body"])["type"].endswith("StoreNotFoundError")


def test_a_child_that_dies_amid_the_weights_is_replaced_by_the_function(s3: FaultyS3) -> None:
    version = underway()
    before = CHILD_DIES.format(key=weights_key(version))
    answer, (cold, _) = ask(s3, version, before)
    assert answer["statusCode"] == 200
    reason = "not fetched beside the imports: the fetching process ended without a report"
    assert cold["notes"] == [reason]
    assert {"manifest", "fetch", "session"} <= set(cold["phases_ms"])


def test_what_failed_once_never_passes_for_whole() -> None:
    version = heavy(1, load_level="none")
    there = fetch_here(version.settings, version.reader, Ledger())

    def refuse() -> None:
        raise DigestMismatchError("weights")

    fetched = Fetched(there.manifest, there.form, there.files, Coming(refuse))
    reads: list[Callable[[], object]] = [
        fetched.complete,
        lambda: fetched.files,
        lambda: fetched.of_role("weights"),
    ]
    for _ in range(2):
        for read in reads:
            with pytest.raises(DigestMismatchError):
                read()
    assert set(fetched.of_role("graph")) == {"model.onnx"}


def test_the_second_stage_adds_nothing_to_the_cold_ledger() -> None:
    version = heavy(1, prepacking="later", load_level="none")
    ledger = Ledger()
    model = loader.build_model(fetch_here(version.settings, version.reader, ledger), version.settings, ledger)
    before = dict(ledger.phases)
    session = model.predictor.session  # type: ignore[attr-defined]
    session.run_all({"x": np.ones((1, 1024), np.float32)})
    session.join()
    assert session.stage == 2
    assert ledger.phases == before


def test_a_program_without_assets_is_fetched_beside_the_imports(s3: FaultyS3) -> None:
    version = published_program({})
    program = """
import json, os
from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.sigv4 import Credentials
from hotplate.runtime.ahead import start
from hotplate.runtime.ledger import Ledger
from hotplate.settings import Settings
settings = Settings.from_environ(os.environ)
ahead = start(settings, lambda: S3Reader.from_settings(settings, Credentials.from_environ(os.environ)))
found = ahead.take(settings, Ledger())
print(json.dumps(list(found.files)))
ahead.end()
"""
    assert cold_process(s3, version, program=program)[0] == []
