"""The client against a server made of functions: what it sends, when it tries again, what it raises."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from hotplate.client import ApiError, AsyncClient, Client, Prediction, Retries, UnreachableError
from hotplate.errors import DatatypeMismatchError, ShapeMismatchError, UnknownInputError
from hotplate.limits import MAX_BODY_BYTES
from hotplate.protocol.request import decode_request
from hotplate.protocol.response import encode_response
from hotplate.protocol.types import InferenceRequest, InferenceResponse, MetadataTensor, Tensor

INPUTS = (
    MetadataTensor("image", "FP32", (-1, 2, 2), one_of="picture"),
    MetadataTensor("file", "BYTES", (-1,), one_of="picture"),
)
OUTPUTS = (MetadataTensor("sum", "FP32", (-1,)),)
METADATA = {
    "name": "m",
    "versions": ["7"],
    "inputs": [{"name": spec.name, "datatype": spec.datatype, "shape": spec.shape} for spec in INPUTS],
    "outputs": [{"name": "sum", "datatype": "FP32", "shape": [-1]}],
}
ONES = np.ones((3, 2, 2), np.float32)


class Server:
    """Answers metadata, and inference after `refusals`; keeps what it was sent."""

    def __init__(self, *refusals: httpx2.Response | type[Exception], takes_uploads: bool = True) -> None:
        self.refusals = list(refusals)
        self.takes_uploads = takes_uploads
        self.uploaded: dict[str, bytes] = {}
        self.asked: list[httpx2.Request] = []
        self.decoded: list[InferenceRequest] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        if self.refusals:
            refusal = self.refusals.pop(0)
            if isinstance(refusal, type):
                raise refusal("down")
            return refusal
        if request.method == "GET":
            return httpx2.Response(200, json=METADATA)
        if request.url.path.endswith("/uploads"):
            return self.sign(json.loads(request.content))
        if request.method == "PUT":
            self.uploaded[f"s3:/{request.url.path}"] = request.content
            return httpx2.Response(200)
        self.decoded.append(
            decode_request(
                request.content,
                header_length=request.headers.get("inference-header-content-length"),
                inputs=INPUTS,
                outputs=OUTPUTS,
                fetch=lambda reference: memoryview(self.uploaded[reference.uri]),
            )
        )
        rows = np.zeros(len(self.decoded[-1].inputs[0].array), np.float32)
        answer = InferenceResponse("m", "7", None, (Tensor("sum", "FP32", rows),), frozenset({"sum"}))
        body, size = encode_response(answer)
        headers = {"inference-header-content-length": str(size), "x-request-id": "r-1"}
        return httpx2.Response(200, content=body, headers=headers)

    def sign(self, asked: dict[str, Any]) -> httpx2.Response:
        if not self.takes_uploads:
            return httpx2.Response(404, json={"error": "no such path"})
        path = f"/data/{asked['size']}"
        headers = {"content-length": str(asked["size"]), "content-type": asked["content_type"]}
        given = {"upload_url": f"https://s3{path}?signed", "input_uri": f"s3:/{path}", "headers": headers}
        return httpx2.Response(201, json=given)


def busy(status: int = 503, **headers: str) -> httpx2.Response:
    return httpx2.Response(
        status, json={"error": "busy"}, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def ask(server: Server, data: Any, *, retries: Retries | None = None) -> tuple[Prediction, list[float]]:
    waits: list[float] = []
    transport = httpx2.MockTransport(server)
    with Client("http://api/live/", "k", retries=retries, transport=transport, sleep=waits.append) as client:
        return client.model("m").predict(data), waits


def ask_async(server: Server, data: Any, *, retries: Retries | None = None) -> tuple[Prediction, list[float]]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def run() -> Prediction:
        transport = httpx2.MockTransport(server)
        async with AsyncClient(
            "http://api/live", "k", retries=retries, transport=transport, sleep=sleep
        ) as client:
            return await client.model("m").predict(data)

    return asyncio.run(run()), waits


type Ask = Callable[..., tuple[Prediction, list[float]]]
both = pytest.mark.parametrize("asking", [ask, ask_async], ids=["sync", "async"])


@both
def test_array_goes_as_binary_data_with_the_key_and_comes_back_as_one(asking: Ask) -> None:
    server = Server()
    prediction, waits = asking(server, ONES)
    assert prediction["sum"].shape == (3,)
    assert (prediction.model, prediction.version, prediction.request_id, waits) == ("m", "7", "r-1", [])
    metadata, inference = server.asked
    assert str(metadata.url) == "http://api/live/v2/models/m"
    assert str(inference.url) == "http://api/live/v2/models/m/infer"
    assert {request.headers["x-api-key"] for request in server.asked} == {"k"}
    assert ONES.tobytes() in inference.content


LARGE = np.ones((MAX_BODY_BYTES // 16 + 1, 2, 2), np.float32)


@both
@pytest.mark.parametrize(
    "data", [{"image": LARGE}, {"file": [b"x" * MAX_BODY_BYTES]}], ids=["numbers", "bytes"]
)
def test_what_is_too_large_for_a_body_is_uploaded_without_the_key(asking: Ask, data: Any) -> None:
    server = Server()
    asking(server, data)
    _, signing, put, inference = server.asked
    ((name, value),) = data.items()
    tensor = server.decoded[0].inputs[0]
    assert tensor.name == name
    assert np.array_equal(tensor.array, np.asarray(value, tensor.array.dtype))
    assert (put.method, str(put.url)) == ("PUT", f"https://s3/data/{len(put.content)}?signed")
    assert put.headers["content-type"] == "application/octet-stream"
    assert "x-api-key" not in put.headers
    assert {each.headers["x-api-key"] for each in (signing, inference)} == {"k"}
    assert len(inference.content) < 1000


@both
@pytest.mark.parametrize(
    ("data", "takes_uploads", "asked"),
    [
        (LARGE, False, ["GET", "POST", "POST"]),
        ({"file": [b"x" * (MAX_BODY_BYTES // 2)] * 2}, True, ["GET", "POST"]),
    ],
    ids=["a server that takes no uploads", "several elements, which are no object"],
)
def test_what_cannot_be_uploaded_is_sent_as_it_is(
    asking: Ask, data: Any, takes_uploads: bool, asked: list[str]
) -> None:
    server = Server(takes_uploads=takes_uploads)
    asking(server, data)
    assert [each.method for each in server.asked] == asked
    assert len(server.asked[-1].content) > MAX_BODY_BYTES


@both
def test_upload_that_fails_is_told_without_its_address(asking: Ask) -> None:
    metadata = httpx2.Response(200, json=METADATA)
    denied = httpx2.Response(403, content=b"<Error>SignatureDoesNotMatch</Error>")
    signed = Server().sign({"size": 1, "content_type": "x"})
    with pytest.raises(ApiError, match="SignatureDoesNotMatch"):
        asking(Server(metadata, signed, denied), LARGE)
    with pytest.raises(UnreachableError) as raised:
        asking(Server(metadata, signed, httpx2.ReadError), LARGE)
    assert "https://s3/data/1:" in str(raised.value)


@both
def test_refusal_to_sign_is_told(asking: Ask) -> None:
    metadata = httpx2.Response(200, json=METADATA)
    refused = httpx2.Response(413, json={"error": "size: too large"})
    with pytest.raises(ApiError, match="too large"):
        asking(Server(metadata, refused), LARGE)


def sent(data: Any) -> Tensor:
    server = Server()
    ask(server, data)
    return server.decoded[0].inputs[0]


@pytest.mark.parametrize(
    ("data", "name", "shape"),
    [
        (ONES[0], "image", (1, 2, 2)),
        ([[1, 2], [3, 4]], "image", (1, 2, 2)),
        (np.ones((2, 2, 2), np.uint8), "image", (2, 2, 2)),
        (np.ones((2, 2, 2)), "image", (2, 2, 2)),
        ({"image": ONES}, "image", (3, 2, 2)),
        (b"bytes", "file", (1,)),
        (["a", b"b"], "file", (2,)),
        (np.array(["a", "b", "c"]), "file", (3,)),
    ],
)
def test_what_callers_have_becomes_the_input_that_is_meant(
    data: Any, name: str, shape: tuple[int, ...]
) -> None:
    tensor = sent(data)
    assert (tensor.name, tensor.array.shape) == (name, shape)


def test_picture_and_its_file_are_sent_as_bytes(tmp_path: Path) -> None:
    picture = Image.new("L", (2, 2), 7)
    picture.save(tmp_path / "x.png")
    for data in (picture, tmp_path / "x.png"):
        assert sent(data).array[0].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (np.ones((3, 2, 3)), ShapeMismatchError),
        (np.ones(4), ShapeMismatchError),
        (np.ones((1, 2, 2), complex), DatatypeMismatchError),
        ({"image": object()}, DatatypeMismatchError),
        ({"nope": ONES}, UnknownInputError),
        ({"file": 3}, DatatypeMismatchError),
        ([["a"], ["b", "c"]], ShapeMismatchError),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(data: Any, fault: type[Exception]) -> None:
    server = Server()
    with pytest.raises(fault):
        ask(server, data)
    assert len(server.asked) == 1


@both
@pytest.mark.parametrize("status", [429, 503])
def test_busy_is_tried_again_no_sooner_than_asked_and_with_jitter(asking: Ask, status: int) -> None:
    server = Server(busy(status, retry_after="3"), busy(status, retry_after="3"))
    _, waits = asking(server, ONES)
    assert len(waits) == 2
    assert all(3 <= wait <= 3 + 0.5 * 2**index for index, wait in enumerate(waits))
    assert waits[0] != 3


@both
def test_connection_that_was_never_made_is_tried_again(asking: Ask) -> None:
    _, waits = asking(Server(httpx2.ConnectError), ONES)
    assert len(waits) == 1


@both
def test_answer_that_was_lost_is_not_asked_for_twice(asking: Ask) -> None:
    server = Server(httpx2.ReadTimeout)
    with pytest.raises(UnreachableError, match="down"):
        asking(server, ONES)
    assert len(server.asked) == 1


@both
def test_tries_end_with_the_servers_own_words(asking: Ask) -> None:
    server = Server(*[busy() for _ in range(9)])
    with pytest.raises(ApiError, match="503: busy"):
        asking(server, ONES, retries=Retries(most=2))
    assert len(server.asked) == 3


def test_wait_that_is_too_long_is_not_waited() -> None:
    with pytest.raises(ApiError):
        ask(Server(busy(429, retry_after="3600")), ONES)


def test_date_to_wait_for_is_understood() -> None:
    wait = Retries().wait_s(1, formatdate(None, usegmt=True))
    assert wait is not None
    assert wait < 2
    assert Retries().wait_s(1, formatdate(4e9, usegmt=True)) is None
    assert Retries().wait_s(1, "soon") is not None


@pytest.mark.parametrize("status", [400, 404, 500, 502, 504])
def test_other_refusals_are_raised_at_once(status: int) -> None:
    problem = {"error": "e", "detail": "why", "type": "urn:hotplate:error:ShapeMismatchError"}
    server = Server(httpx2.Response(status, content=json.dumps(problem), headers={"x-request-id": "r"}))
    with pytest.raises(ApiError) as raised:
        ask(server, ONES)
    fault = raised.value
    assert (fault.status, fault.kind, fault.detail, fault.request_id) == (
        status,
        "ShapeMismatchError",
        "why",
        "r",
    )
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message": "Forbidden"}'])
def test_refusal_of_somebody_else_is_an_error_too(body: bytes) -> None:
    with pytest.raises(ApiError, match=r"403: ."):
        ask(Server(httpx2.Response(403, content=body)), ONES)


def test_client_imports_nothing_of_aws_onnxruntime_or_the_tools() -> None:
    program = "import hotplate.client, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {
        "boto3",
        "botocore",
        "onnx",
        "onnxruntime",
        "pydantic",
        "aws_lambda_powertools",
        "PIL",
        "hotplate_tools",
    }
    assert heavy & set(done.stdout.split()) == set()


@both
def test_answer_that_is_too_large_is_asked_for_by_reference_and_fetched_without_the_key(asking: Ask) -> None:
    rows = np.zeros(3, np.float32)
    answer = InferenceResponse("m", "7", None, (Tensor("sum", "FP32", rows),), frozenset({"sum"}))
    body, size = encode_response(answer)
    told = {
        "output_uri": "https://s3/outputs/1?signed",
        "output_headers": {"inference-header-content-length": str(size)},
    }
    server = Server(
        httpx2.Response(200, json=METADATA),
        httpx2.Response(413, json={"error": "answer: expected less, got more"}),
        httpx2.Response(200, json={"parameters": told, "outputs": []}, headers={"x-request-id": "r-2"}),
        httpx2.Response(200, content=body),
    )
    prediction, _ = asking(server, ONES)
    assert (prediction["sum"].tolist(), prediction.request_id) == ([0.0] * 3, "r-2")
    _, first, second, fetched = server.asked
    assert b"output_by_reference" not in first.content
    assert b'"output_by_reference":true' in second.content
    assert str(fetched.url) == "https://s3/outputs/1?signed"
    assert "x-api-key" not in fetched.headers


@both
def test_body_that_is_too_large_is_not_sent_again(asking: Ask) -> None:
    refused = httpx2.Response(413, json={"error": "body: expected less, got more"})
    server = Server(httpx2.Response(200, json=METADATA), refused)
    with pytest.raises(ApiError, match="413: body"):
        asking(server, ONES)
    assert len(server.asked) == 2
