"""A model asked by the paths of KServe v1, OpenAI and SageMaker: the same numbers, in their words."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

from hotplate.http.endpoint import Endpoint
from hotplate.protocol.types import MetadataTensor
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.model import Arrays, Model
from tests.support.lambda_context import Context
from tests.support.published import published

TRITON = "application/vnd.sagemaker-triton.binary+json"


@dataclass
class Program:
    """Answers by a function of the inputs."""

    answer: Callable[[Arrays], Arrays]

    def run(self, inputs: Arrays, wanted: Any) -> Arrays:
        return self.answer(inputs)


def endpoint(
    answer: Callable[[Arrays], Arrays],
    inputs: tuple[MetadataTensor, ...],
    outputs: tuple[MetadataTensor, ...],
) -> Endpoint:
    manifest = replace_manifest(inputs, outputs)
    return Endpoint(lambda: Model(manifest, "1", Program(answer), Ledger()))


def replace_manifest(inputs: tuple[MetadataTensor, ...], outputs: tuple[MetadataTensor, ...]) -> Any:
    return msgspec.structs.replace(published().manifest, name="m", inputs=inputs, outputs=outputs)


X = MetadataTensor("x", "FP32", (-1, 2))
FILE = MetadataTensor("file", "BYTES", (-1,))
DOUBLE = endpoint(lambda a: {"y": a["x"] * 2}, (X,), (MetadataTensor("y", "FP32", (-1, 2)),))
SIZES = endpoint(
    lambda a: {
        "size": np.array([len(each) for each in a["file"]], np.int64),
        "bytes": a["file"],
    },
    (FILE,),
    (MetadataTensor("size", "INT64", (-1,)), MetadataTensor("bytes", "BYTES", (-1,))),
)
PAIR = endpoint(
    lambda a: {"y": a["x"][:, 0] * a["by"], "total": np.array(7, np.float32)},
    (X, MetadataTensor("by", "FP32", ())),
    (MetadataTensor("y", "FP32", (-1,)), MetadataTensor("total", "FP32", ())),
)
VECTORS = endpoint(
    lambda a: {
        "embedding": np.array([[len(each), 0.5] for each in a["file"]], np.float32).reshape(-1, 2),
        "tokens": np.array([len(each) for each in a["file"]], np.int64),
    },
    (FILE,),
    (MetadataTensor("embedding", "FP32", (-1, 2)), MetadataTensor("tokens", "INT64", (-1,))),
)


def ask(
    function: Endpoint, path: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    event = {
        "httpMethod": "POST",
        "path": path,
        "headers": headers or {},
        "body": base64.b64encode(raw).decode(),
        "isBase64Encoded": True,
    }
    result = function(event, Context())
    answer = base64.b64decode(result["body"]) if result["isBase64Encoded"] else result["body"]
    is_json = "application/json" in result["headers"]["content-type"]
    return result["statusCode"], json.loads(answer) if is_json else answer, result["headers"]


PREDICT = "/v1/models/m:predict"


@pytest.mark.parametrize(
    ("function", "instances", "predictions"),
    [
        (DOUBLE, [[1, 2], [3, 4]], [[2.0, 4.0], [6.0, 8.0]]),
        (DOUBLE, [{"x": [1, 2]}], [[2.0, 4.0]]),
        (SIZES, ["abc", "ü"], [{"size": 3, "bytes": "abc"}, {"size": 2, "bytes": "ü"}]),
        (SIZES, [{"b64": "/w=="}, "a"], [{"size": 1, "bytes": {"b64": "/w=="}}, {"size": 1, "bytes": "a"}]),
        (SIZES, [{"file": {"b64": "YQ=="}}], [{"size": 1, "bytes": "a"}]),
        (PAIR, [{"x": [2, 0], "by": 3}], {"y": [6.0], "total": 7.0}),
    ],
    ids=["rows", "named", "text", "bytes and text", "named bytes", "a scalar in and out"],
)
def test_instances_become_predictions(function: Endpoint, instances: Any, predictions: Any) -> None:
    status, body, _ = ask(function, PREDICT, {"instances": instances})
    assert (status, body) == (200, {"predictions": predictions})


@pytest.mark.parametrize(
    ("function", "body", "word"),
    [
        (DOUBLE, {"instances": []}, "one row or more"),
        (DOUBLE, {"instances": 3}, "array"),
        (DOUBLE, {"inputs": []}, "instances"),
        (DOUBLE, {"instances": [[1, 2], [3]]}, "2"),
        (DOUBLE, {"instances": [1]}, "rows of 1 axes"),
        (DOUBLE, {"instances": [[1, 2, 3]]}, "[-1, 2]"),
        (DOUBLE, {"instances": [["a", "b"]]}, "FP32"),
        (DOUBLE, {"instances": [[10**30, 1]]}, "64 bits"),
        (DOUBLE, {"instances": [{"z": [1, 2]}]}, "'x'"),
        (DOUBLE, {"instances": [{"x": [1, 2]}, {"z": [1, 2]}]}, "instances[1]"),
        (DOUBLE, {"instances": [{"b64": "YQ=="}]}, "b64"),
        (SIZES, {"instances": [{"b64": "?"}]}, "base64"),
        (SIZES, {"instances": [{"b64": "YQ=="}, 3]}, "text"),
        (PAIR, {"instances": [{"x": [1, 2], "by": 3}] * 2}, "one instance"),
        (PAIR, {"instances": [[1, 2]]}, "'by'"),
        (DOUBLE, b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", ""),
    ],
)
def test_instances_that_do_not_fit_are_told_what_would(function: Endpoint, body: Any, word: str) -> None:
    status, problem, _ = ask(function, PREDICT, body)
    assert status == 400, problem
    assert isinstance(problem["error"], str)
    assert word in problem["error"]


def test_nan_is_no_prediction() -> None:
    function = endpoint(lambda a: {"y": a["x"] * np.nan}, (X,), (MetadataTensor("y", "FP32", (-1, 2)),))
    status, problem, _ = ask(function, PREDICT, {"instances": [[1, 2]]})
    assert (status, problem["type"]) == (400, "urn:hotplate:error:ValueRangeError")


@pytest.mark.parametrize("path", ["/v1/models/m:train", "/v1/models/m:", "/v1/chat/completions", "/v1"])
def test_path_that_nothing_answers_is_a_404(path: str) -> None:
    assert ask(DOUBLE, path, {})[0] == 404


@pytest.mark.parametrize("path", ["/v1/embeddings", "/openai/v1/embeddings"])
def test_embeddings_as_openai_has_them(path: str) -> None:
    status, body, _ = ask(VECTORS, path, {"model": "m", "input": ["ab", "c"]})
    assert status == 200
    assert body == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [2.0, 0.5]},
            {"object": "embedding", "index": 1, "embedding": [1.0, 0.5]},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    sent = {"model": "m", "input": "ab", "encoding_format": "base64", "dimensions": 2, "user": "u"}
    encoded = ask(VECTORS, path, sent)[1]["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(encoded), "<f4").tolist() == [2.0, 0.5]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"model": "other", "input": "a"}, 404, "model_not_found", "model"),
        ({"input": "a"}, 400, "malformed_request", "model"),
        ({"model": "m"}, 400, "malformed_request", "input"),
        ({"model": "m", "input": []}, 400, "malformed_request", "input"),
        ({"model": "m", "input": ["a", [1]]}, 400, "malformed_request", "input[1]"),
        ({"model": "m", "input": "a", "encoding_format": "hex"}, 400, "value_range", "encoding_format"),
        ({"model": "m", "input": "a", "dimensions": 3}, 400, "shape_mismatch", "dimensions"),
        (b"?", 400, "malformed_request", None),
    ],
)
def test_refused_embeddings_have_openais_error(body: Any, status: int, code: str, param: str | None) -> None:
    came, problem, _ = ask(VECTORS, "/v1/embeddings", body)
    assert came == status
    error = problem["error"]
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")
    assert error["message"] == problem["detail"]


def test_model_that_gives_no_embeddings_says_so() -> None:
    status, problem, _ = ask(DOUBLE, "/v1/embeddings", {"model": "m", "input": "a"})
    assert (status, problem["error"]["param"]) == (404, "model")


def test_our_fault_says_nothing_in_openais_words_either() -> None:
    def broken(_: Arrays) -> Arrays:
        raise KeyError("secret")

    function = endpoint(broken, (FILE,), replace_outputs())
    status, problem, _ = ask(function, "/v1/embeddings", {"model": "m", "input": "a"})
    assert (status, problem["error"]["type"], problem["error"]["code"]) == (500, "server_error", "internal")
    assert "secret" not in json.dumps(problem)


def replace_outputs() -> tuple[MetadataTensor, ...]:
    return (MetadataTensor("embedding", "FP32", (-1, 2)), MetadataTensor("tokens", "INT64", (-1,)))


INVOKE = "/endpoints/m/invocations"
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 2]}


def test_invocation_takes_json_of_both_kinds() -> None:
    status, body, _ = ask(DOUBLE, INVOKE, {"inputs": [{**TENSOR, "data": [1, 2]}]})
    assert (status, body["outputs"][0]["data"]) == (200, [2.0, 4.0])
    assert ask(DOUBLE, INVOKE, {"instances": [[1, 2]]})[1] == {"predictions": [[2.0, 4.0]]}
    assert ask(DOUBLE, "/invocations", {"instances": [[1, 2]]})[0] == 200


def test_invocation_takes_and_gives_binary_tensors_as_tritons_container_does() -> None:
    head = {
        "inputs": [{**TENSOR, "parameters": {"binary_data_size": 8}}],
        "parameters": {"binary_data_output": True},
    }
    raw = json.dumps(head).encode()
    kind = {"content-type": f"{TRITON};json-header-size={len(raw)}"}
    status, body, headers = ask(DOUBLE, INVOKE, raw + np.array([1, 2], "<f4").tobytes(), kind)
    assert status == 200
    size = int(headers["content-type"].removeprefix(f"{TRITON};json-header-size="))
    assert np.frombuffer(body[size:], "<f4").tolist() == [2.0, 4.0]


@pytest.mark.parametrize("kind", ["image/png", "text/plain; charset=utf-8", "application/octet-stream"])
def test_invocation_takes_a_file_as_it_is(kind: str) -> None:
    status, body, _ = ask(SIZES, INVOKE, b"abc", {"content-type": kind})
    assert (status, body["outputs"][0]["data"]) == (200, [3])


@pytest.mark.parametrize(("function", "kind"), [(SIZES, "text/csv"), (DOUBLE, "image/png")])
def test_content_type_that_is_not_read_is_a_415_with_sagemakers_words(function: Endpoint, kind: str) -> None:
    status, problem, headers = ask(function, INVOKE, b"1,2", {"content-type": kind})
    assert (status, headers["x-amzn-errortype"]) == (415, "ValidationError")
    assert problem["message"] == problem["error"]


def test_upload_alone_is_a_row_of_the_only_bytes_input() -> None:
    model = Model(replace_manifest((FILE,), (SIZE,)), "1", Program(sizes), Ledger())
    asked: list[Any] = []

    def read(reference: Any, tenant: str | None) -> memoryview:
        asked.append((reference.uri, reference.size, tenant))
        return memoryview(b"seven")

    reading = Endpoint(lambda: model, None, read)
    event = {
        "httpMethod": "POST",
        "path": "/v1/models/m:predict",
        "headers": {},
        "body": json.dumps({"instances": [{"input_uri": "s3://b/uploads/acme/1"}]}),
        "requestContext": {"authorizer": {"tenant": "acme"}},
    }
    assert json.loads(reading(event, Context())["body"]) == {"predictions": [5]}
    assert asked == [("s3://b/uploads/acme/1", None, "acme")]


def test_upload_of_a_row_of_open_length_is_left_to_v2() -> None:
    spec = MetadataTensor("x", "FP32", (-1, -1))
    open_rows = endpoint(lambda a: {"y": a["x"]}, (spec,), (MetadataTensor("y", "FP32", (-1, -1)),))
    body = json.dumps({"instances": [{"x": {"input_uri": "s3://b/a"}}]})
    event = {"httpMethod": "POST", "path": "/v1/models/m:predict", "headers": {}, "body": body}
    answer = open_rows(event, Context())
    assert answer["statusCode"] == 400
    assert "under /v2 requests say it" in json.loads(answer["body"])["expected"]


SIZE = MetadataTensor("size", "INT64", (-1,))


def sizes(arrays: Arrays) -> Arrays:
    return {"size": np.array([len(each) for each in arrays["file"]], np.int64)}
