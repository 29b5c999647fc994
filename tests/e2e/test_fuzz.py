"""The API asked what nobody would: a few hundred made-up requests, and those that once found something."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fuzzing import fuzz
from tests.support.http_call import call

if TYPE_CHECKING:
    from hotplate_tools.local.up import LocalCloud

# The server's own paths, two models of the protocol, and the aliases of one.
PATHS = r"^/(v2|ping|openapi.json|invocations|v1/models|v1/embeddings|.*(digits|spam).*)$"


def test_made_up_requests_get_the_documented_answers(cloud: LocalCloud) -> None:
    found = fuzz(cloud.url, examples=20, seed=20261124, paths=PATHS)
    assert found.failures == [], found.output
    assert found.cases > 200


def empty(name: str, datatype: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": []}


@pytest.mark.parametrize(
    ("model", "tensor", "status"),
    [
        # ONNX Runtime's LSTM ended the process.
        ("spam", empty("text", "BYTES", 0), 200),
        # NumPy could not tell a row's length.
        ("digit-features", empty("image", "FP32", 0, 8, 8), 200),
        ("diabetes", empty("features", "FP32", 0, 10), 200),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_no_rows_give_no_rows(server: str, model: str, tensor: dict[str, Any], status: int) -> None:
    answer = call(server, "POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}).encode())
    assert answer.status == status, answer.body
    assert all(output["shape"][0] == 0 for output in answer.json()["outputs"])
