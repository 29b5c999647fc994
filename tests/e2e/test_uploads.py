"""Inputs by reference from outside: uploaded, referred to, answered as if they had been in the body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from hotplate.client import Client
from hotplate.limits import MAX_BODY_BYTES
from hotplate_tools.training.stored import source_folder
from tests.support.http_call import Answer, call

if TYPE_CHECKING:
    from hotplate_tools.local.up import LocalCloud

INFER = "/v2/models/digits/infer"
ROWS = np.random.default_rng(7).random((5, 28, 28, 1), np.float32)


def sign(server: str, size: int, content_type: str = "application/octet-stream") -> dict[str, Any]:
    asked = json.dumps({"size": size, "content_type": content_type}).encode()
    answer = call(server, "POST", "/uploads", asked)
    assert answer.status == 201, answer.body
    given: dict[str, Any] = answer.json()
    return given


def put(given: dict[str, Any], body: bytes) -> int:
    address = urlsplit(given["upload_url"])
    base = f"{address.scheme}://{address.netloc}"
    path = f"{address.path}?{address.query}"
    return call(base, given["method"], path, body, given["headers"]).status


def upload(server: str, body: bytes, content_type: str = "application/octet-stream") -> str:
    given = sign(server, len(body), content_type)
    assert put(given, body) == 200
    return str(given["input_uri"])


def infer(server: str, tensor: dict[str, Any]) -> Answer:
    return call(server, "POST", INFER, json.dumps({"inputs": [tensor]}).encode())


def image(uri: str, rows: int = len(ROWS)) -> dict[str, Any]:
    shape = [rows, 28, 28, 1]
    return {"name": "image", "datatype": "FP32", "shape": shape, "parameters": {"input_uri": uri}}


@pytest.fixture(scope="module")
def url(cloud: LocalCloud) -> str:
    return cloud.url


def test_rows_by_reference_are_answered_as_in_the_body_bit_for_bit(url: str) -> None:
    there = infer(url, image(upload(url, ROWS.tobytes())))
    here = infer(url, {**image(""), "parameters": {}, "data": ROWS.reshape(-1).tolist()})
    assert (there.status, here.status) == (200, 200), (there.body, here.body)
    assert there.body == here.body


def test_image_file_by_reference_is_read_as_one(url: str) -> None:
    uri = upload(url, (source_folder("digits") / "seven.png").read_bytes(), "image/png")
    tensor = {"name": "image_file", "datatype": "BYTES", "shape": [1], "parameters": {"input_uri": uri}}
    answer = infer(url, tensor)
    assert answer.status == 200, answer.body
    assert [each["data"] for each in answer.json()["outputs"] if each["name"] == "digit"] == [[7]]


@pytest.mark.parametrize("length", [ROWS.nbytes - 1, ROWS.nbytes + 1])
def test_upload_of_another_length_is_refused(url: str, length: int) -> None:
    answer = infer(url, image(upload(url, bytes(length))))
    assert (answer.status, answer.json()["received"]) == (400, f"an object of {length} bytes")


def test_what_was_signed_and_never_put_is_404(url: str) -> None:
    answer = infer(url, image(sign(url, ROWS.nbytes)["input_uri"]))
    assert (answer.status, answer.json()["type"]) == (404, "urn:hotplate:error:InputNotFoundError")


@pytest.mark.parametrize(
    "change",
    [("uploads/-/", "uploads/acme/"), ("uploads/-/", "uploads/-/../-/"), ("uploads/-/", "uploads/-%2F")],
)
def test_what_is_not_the_callers_is_403(url: str, change: tuple[str, str]) -> None:
    uri = upload(url, ROWS.tobytes())
    changed = uri.replace(*change)
    assert changed != uri
    answer = infer(url, image(changed))
    assert (answer.status, answer.json()["type"]) == (403, "urn:hotplate:error:ForeignInputError")


def test_body_that_is_too_large_is_told_where_to_put_it(url: str) -> None:
    answer = call(url, "POST", INFER, b"x" * (MAX_BODY_BYTES + 1))
    assert (answer.status, answer.json()["upload"]) == (413, {"method": "POST", "path": "/uploads"})


def test_client_uploads_what_is_too_large_by_itself(url: str) -> None:
    rows = np.tile(ROWS, (MAX_BODY_BYTES // ROWS.nbytes + 1, 1, 1, 1))
    assert rows.nbytes > MAX_BODY_BYTES
    with Client(url) as client:
        model = client.model("digits")
        large, small = model.predict(rows), model.predict(ROWS)
    for name, expected in small.items():
        assert large[name].shape[0] == len(rows)
        assert np.allclose(large[name][: len(ROWS)], expected, atol=1e-5)


def test_client_sends_and_gets_what_fits_no_call(cloud: LocalCloud) -> None:
    rows = np.random.default_rng(3).random((700_000, 3), np.float32)  # 8.4 MB each way.
    with Client(cloud.url) as client:
        found = client.model("onnx").predict(rows)
    assert np.array_equal(found["y"], rows * np.float32(3))
