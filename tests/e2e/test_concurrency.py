"""Ten requests at once where four may be worked on: four environments at most, and no wrong answer."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from tests.e2e.conftest import RESERVED_CONCURRENCY
from tests.support.digits_registry import FOLDER
from tests.support.http_call import Answer, call

if TYPE_CHECKING:
    from hotplate_tools.local.harness import RuntimeHarness
    from hotplate_tools.local.up import LocalCloud

INFER = "/v2/models/digits/infer"


def ten_at_once(url: str) -> list[tuple[np.ndarray[Any, Any], Answer]]:
    """Return what was sent and what came, of ten different requests sent at the same moment."""
    generator = np.random.default_rng(4)
    images = [generator.random((1, 28, 28, 1), dtype=np.float32) for _ in range(10)]
    together = threading.Barrier(len(images))

    def ask(pixels: np.ndarray[Any, Any]) -> Answer:
        tensor = {
            "name": "image",
            "datatype": "FP32",
            "shape": [1, 28, 28, 1],
            "data": pixels.ravel().tolist(),
        }
        body = json.dumps({"inputs": [tensor]}).encode()
        together.wait(10)
        return call(url, "POST", INFER, body)

    with ThreadPoolExecutor(len(images)) as threads:
        return list(zip(images, threads.map(ask, images), strict=True))


def check(asked: list[tuple[np.ndarray[Any, Any], Answer]]) -> None:
    """Every answer is right or a 429, and some are right."""
    session = ort.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])
    statuses = Counter(answer.status for _, answer in asked)
    assert set(statuses) <= {200, 429}, statuses
    assert statuses[200] >= RESERVED_CONCURRENCY
    for pixels, answer in asked:
        if answer.status == 200:
            outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
            expected = session.run(["probabilities"], {"image": pixels})[0]
            np.testing.assert_allclose(outputs["probabilities"], expected.ravel(), rtol=0, atol=1e-6)


def cold_ledgers(lines: list[str]) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in lines if line.startswith('{"hotplate":"cold"')]
    return [record["phases_ms"] for record in records]


def test_ten_at_once_on_the_runtime_harness(harness: RuntimeHarness) -> None:
    asked = ten_at_once(harness.url)
    check(asked)
    environments = harness.environments("DigitsFunction")
    assert 1 <= len(environments) <= RESERVED_CONCURRENCY
    ledgers = [cold_ledgers(list(each.log)) for each in environments]
    assert [len(each) for each in ledgers] == [1] * len(environments)
    # On Lambda's own runtime a child process fetches the model beside the imports.
    assert all(set(ledger) == {"runtime", "imports", "wait", "session"} for (ledger,) in ledgers)


def test_ten_at_once_on_the_local_cloud(cloud: LocalCloud) -> None:
    before = len(cold_ledgers(cloud.logs("DigitsFunction")))
    check(ten_at_once(cloud.url))
    ledgers = cold_ledgers(cloud.logs("DigitsFunction"))
    # An environment that nobody asks ends, so others may have come and gone before.
    assert len(ledgers) - before <= RESERVED_CONCURRENCY
    assert ledgers
    assert all({"imports", "session"} <= set(phases) for phases in ledgers)
    # The local cloud's worker may have threads, and then the function fetches by itself.
    assert all("wait" in phases or {"manifest", "fetch"} <= set(phases) for phases in ledgers)
