"""Requests right and wrong, from outside: each wrong one is told what was expected and what came."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from hotplate_tools.training.stored import model_folder
from tests.support.http_call import call

LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/digits/infer"
COLD = "imports;dur="
ONE = (1, 28, 28, 1)
ZEROS = [0.0] * 784


def image(**changes: Any) -> dict[str, Any]:
    return {"name": "image", "datatype": "FP32", "shape": list(ONE), "data": ZEROS, **changes}


def request(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode()


def files(*contents: bytes) -> dict[str, Any]:
    data = [base64.b64encode(content).decode() for content in contents]
    return {
        "name": "image_file",
        "datatype": "BYTES",
        "shape": [len(data)],
        "data": data,
        "parameters": {"content_type": "base64"},
    }


def bomb_png(side: int = 60_000) -> bytes:
    """A PNG of a few hundred bytes that claims `side` × `side` pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def binary(header: dict[str, Any], tail: bytes, length: str | None = "") -> tuple[bytes, dict[str, str]]:
    raw = json.dumps(header).encode()
    return raw + tail, {} if length is None else {LENGTH: length or str(len(raw))}


BINARY_IMAGE: dict[str, Any] = {
    "name": "image",
    "datatype": "FP32",
    "shape": list(ONE),
    "parameters": {"binary_data_size": 784 * 4},
}
PIXELS = np.zeros(784, "<f4").tobytes()
RAGGED = [[[[0.0]] * 28] * 28]
RAGGED = [[*RAGGED[0][:27], [*RAGGED[0][27][:26], [0.0, 0.0], []]]]

WRONG: dict[str, tuple[int, bytes, dict[str, str], str]] = {
    "no body": (400, b"", {}, "JSON"),
    "not JSON": (400, b"hello", {}, "JSON"),
    "not UTF-8": (400, b'{"inputs": "\xff\xfe"}', {}, "UTF-8"),
    "JSON of the wrong type": (400, b"[1, 2]", {}, "object"),
    "inputs of the wrong type": (400, b'{"inputs": 7}', {}, "inputs"),
    "unknown input": (400, request(image(name="picture")), {}, "image"),
    "missing input": (400, b'{"inputs": []}', {}, "image"),
    "both alternatives": (400, request(image(), files(b"x")), {}, "image"),
    "input twice": (400, request(image(), image()), {}, "image"),
    "unknown output": (400, request(image(), outputs=[{"name": "mood"}]), {}, "mood"),
    "wrong rank": (400, request(image(shape=[1, 784])), {}, "[-1, 28, 28, 1]"),
    "wrong dimension": (400, request(image(shape=[1, 28, 27, 1])), {}, "[-1, 28, 28, 1]"),
    "negative dimension": (400, request(image(shape=[-1, 28, 28, 1])), {}, "shape"),
    "wrong datatype": (400, request(image(datatype="INT64", data=[0] * 784)), {}, "FP32"),
    "unknown datatype": (400, request(image(datatype="BF16")), {}, "BF16"),
    "too few elements": (400, request(image(data=ZEROS[:-1])), {}, "783"),
    "too many elements": (400, request(image(data=[*ZEROS, 0.0])), {}, "785"),
    "ragged data of the right count": (400, request(image(data=RAGGED)), {}, "image"),
    "text among numbers": (400, request(image(data=[*ZEROS[:-1], "x"])), {}, "image"),
    "number out of FP32's range": (400, request(image(data=[*ZEROS[:-1], 1e39])), {}, "FP32"),
    "value the model refuses": (400, request(image(data=[*ZEROS[:-1], 7.5])), {}, "7.5"),
    "shape of 2^40 elements": (400, request(image(shape=[2**40, 28, 28, 1], data=[])), {}, "elements"),
    "length header missing": (
        400,
        *binary({"inputs": [BINARY_IMAGE]}, PIXELS, None),
        "Inference-Header-Content-Length",
    ),
    "length header too long": (400, *binary({"inputs": [BINARY_IMAGE]}, PIXELS, "99999999"), "99999999"),
    "length header negative": (400, *binary({"inputs": [BINARY_IMAGE]}, PIXELS, "-5"), "-5"),
    "length header not a number": (400, *binary({"inputs": [BINARY_IMAGE]}, PIXELS, "ten"), "ten"),
    "binary cut short": (400, *binary({"inputs": [BINARY_IMAGE]}, PIXELS[:-1]), "3136"),
    "binary left over": (400, *binary({"inputs": [BINARY_IMAGE]}, PIXELS + b"x"), "1 bytes more"),
    "an image that is no image": (400, request(files(b"not an image")), {}, "PNG or JPEG"),
    "a decompression bomb": (400, request(files(bomb_png())), {}, "pixels"),
    "many large images": (400, request(files(*[bomb_png(4000)] * 2)), {}, "pixels in a request"),
    "an empty file": (400, request(files(b"")), {}, "PNG or JPEG"),
}


@pytest.fixture(scope="module")
def warm(server: str) -> str:
    """A server whose model is loaded."""
    assert call(server, "POST", INFER, request(image())).status == 200
    return server


@pytest.mark.parametrize("case", WRONG)
def test_wrong_request_is_told_what_is_wrong_and_the_process_lives_on(warm: str, case: str) -> None:
    status, body, headers, word = WRONG[case]
    answer = call(warm, "POST", INFER, body, headers)
    assert answer.status == status, answer.body
    problem = answer.json()
    assert word in problem["error"]
    assert problem["expected"]
    assert problem["received"]
    assert COLD not in answer.headers["server-timing"], "a cold start: the process had died"
    assert answer.headers["x-request-id"] in problem["instance"]


def test_seven_megabytes_are_too_large(server: str) -> None:
    answer = call(server, "POST", INFER, b"x" * 7_000_000)
    assert answer.status == 413
    assert "4669440 bytes" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("POST", "/v2/models/nope/infer", ["nope", "digits"]),
        ("GET", "/v2/models/nope", ["nope", "digits"]),
        ("POST", "/v2/models/digits/versions/9.9.9/infer", ["9.9.9", "digits"]),
        ("GET", "/v2/models/digits/versions/9.9.9", ["9.9.9", "digits"]),
    ],
)
def test_unknown_model_and_version_are_named(server: str, method: str, path: str, words: list[str]) -> None:
    answer = call(server, method, path, request(image()) if method == "POST" else None)
    assert answer.status == 404
    assert all(word in answer.json()["error"] for word in words)


def test_json_answer_has_the_protocols_shape(server: str) -> None:
    body = call(server, "POST", INFER, request(image(), id="42")).json()
    assert set(body) == {"model_name", "model_version", "id", "outputs"}
    assert (body["model_name"], body["id"]) == ("digits", "42")
    shapes = {output["name"]: (output["datatype"], output["shape"]) for output in body["outputs"]}
    assert shapes == {"probabilities": ("FP32", [1, 10]), "digit": ("INT64", [1])}


def test_outputs_are_selected_and_mixed(server: str) -> None:
    outputs = [{"name": "digit"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
    answer = call(server, "POST", INFER, request(image(), outputs=outputs))
    head = json.loads(answer.body[: int(answer.headers["inference-header-content-length"])])
    assert [output["name"] for output in head["outputs"]] == ["digit", "probabilities"]
    assert "data" in head["outputs"][0]
    assert head["outputs"][1]["parameters"]["binary_data_size"] == 40


def test_no_rows_give_no_rows(server: str) -> None:
    body = call(server, "POST", INFER, request(image(shape=[0, 28, 28, 1], data=[]))).json()
    assert [output["shape"] for output in body["outputs"]] == [[0, 10], [0]]


def test_version_in_the_path_answers_as_that_version(server: str) -> None:
    version = call(server, "GET", "/v2/models/digits").json()["versions"][0]
    answer = call(server, "POST", f"/v2/models/digits/versions/{version}/infer", request(image()))
    assert answer.status == 200
    assert answer.headers["hotplate-model-version"] == version


def test_model_tells_its_metadata_and_readiness(server: str) -> None:
    metadata = call(server, "GET", "/v2/models/digits").json()
    assert metadata["platform"] == "onnx_onnxv1"
    assert [(spec["name"], spec["datatype"], spec["shape"]) for spec in metadata["inputs"]] == [
        ("image", "FP32", [-1, 28, 28, 1]),
        ("image_file", "BYTES", [-1]),
    ]
    assert call(server, "GET", "/v2/models/digits/ready").json() == {"name": "digits", "ready": True}


def test_model_hands_out_its_card(server: str) -> None:
    answer = call(server, "GET", "/v2/models/digits/card")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.body == (model_folder("digits") / "card.md").read_bytes()
    made = call(server, "GET", "/v2/models/digits").json()["parameters"]["provenance"]
    assert (made["seed"], made["metrics"]["accuracy"]) == (20, 0.9875)


def test_server_tells_that_it_lives(server: str) -> None:
    assert call(server, "GET", "/v2/health/live").json() == {"live": True}
    assert call(server, "GET", "/v2/health/ready").json() == {"ready": True}
    assert call(server, "GET", "/v2").json()["extensions"] == ["binary_tensor_data", "model_repository"]


def test_answer_is_explained_by_what_was_sent(server: str) -> None:
    pixels = np.zeros((28, 28), np.float32)
    pixels[4:24, 13:15] = 0.3  # A one, and pale: of a score that is 1 nothing falls by a patch.
    sent = image(data=pixels.ravel().tolist())
    answer = call(server, "POST", "/v2/models/digits/explain", request(sent))
    told = {each["name"]: each["data"] for each in answer.json()["outputs"]}
    worth = np.reshape(told["attribution.image"], (28, 28))
    assert (answer.status, told["target"]) == (200, [1])
    assert np.abs(worth[4:24, 13:15]).sum() > 0
    assert not worth[:4, :4].any(), "nothing was there"
    kserve = call(
        server,
        "POST",
        "/v1/models/digits:explain",
        json.dumps({"instances": [pixels[..., None].tolist()]}).encode(),
    )
    (explained,) = kserve.json()["explanations"]
    assert np.allclose(np.reshape(explained["attributions"]["image"], (28, 28)), worth)
