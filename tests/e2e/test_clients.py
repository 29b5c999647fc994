"""Unchanged clients against in-process ONNX Runtime: the same numbers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import numpy as np
import onnxruntime as ort
import openai
import pytest
import tritonclient.http as triton
from botocore.config import Config
from botocore.exceptions import ClientError

import hotplate_tools.models.digits as digits
from hotplate.client import ApiError, AsyncClient, Client
from tests.support.http_call import call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FOLDER = Path(digits.__path__[0])


@pytest.fixture
def client(server: str) -> Iterator[triton.InferenceServerClient]:
    parts = urlsplit(server)
    opened = triton.InferenceServerClient(
        parts.netloc + parts.path, ssl=parts.scheme == "https", network_timeout=60, connection_timeout=60
    )
    with opened:
        yield opened


@pytest.fixture(scope="module")
def session() -> ort.InferenceSession:
    return ort.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_tritonclient_gets_onnxruntimes_numbers(
    client: triton.InferenceServerClient, session: ort.InferenceSession, binary: bool
) -> None:
    generator = np.random.default_rng(20261122)
    for index in range(100):
        pixels = generator.random((1 + index % 3, 28, 28, 1), dtype=np.float32)
        tensor = triton.InferInput("image", list(pixels.shape), "FP32")
        tensor.set_data_from_numpy(pixels, binary_data=binary)
        asked = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "digit")]
        result = client.infer("digits", [tensor], outputs=asked, request_id=str(index))
        expected = session.run(["probabilities"], {"image": pixels})[0]
        np.testing.assert_allclose(result.as_numpy("probabilities"), expected, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(result.as_numpy("digit"), expected.argmax(axis=1))
        assert result.get_response()["id"] == str(index)


def test_tritonclient_sends_an_image_file(client: triton.InferenceServerClient) -> None:
    tensor = triton.InferInput("image_file", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([(FOLDER / "seven.png").read_bytes()], dtype=object))
    assert client.infer("digits", [tensor]).as_numpy("digit").tolist() == [7]


def test_tritonclient_reads_what_the_server_says_of_itself(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert not client.is_model_ready("nope")
    assert client.get_server_metadata()["name"] == "hotplate"
    assert client.get_model_metadata("digits")["name"] == "digits"


def test_tritonclient_lists_the_repository_and_is_told_that_loading_is_not_its_business(
    client: triton.InferenceServerClient,
) -> None:
    index = {each["name"]: each for each in client.get_model_repository_index()}
    assert {"digits", "sift", "spam"} <= set(index)
    version = client.get_model_metadata("digits")["versions"][0]
    assert index["digits"] == {"name": "digits", "version": version, "state": "READY", "reason": ""}
    with pytest.raises(triton.InferenceServerException, match="as requests come and go"):
        client.load_model("digits")


@pytest.mark.parametrize("base", ["/v1", "/openai/v1"])
def test_openai_client_lists_the_models_with_what_they_are(server: str, base: str) -> None:
    with openai.OpenAI(base_url=server + base, api_key="none", max_retries=0) as client:
        models = {model.id: model for model in client.models.list()}
        spam = client.models.retrieve("spam")
        with pytest.raises(openai.NotFoundError, match=r"this server has: .*spam") as failed:
            client.models.retrieve("nope")
    assert failed.value.code == "model_not_found"
    assert models["spam"] == spam
    assert (spam.object, spam.owned_by) == ("model", "hotplate")
    assert abs(time.time() - spam.created) < 10 * 365 * 86400
    said = spam.model_dump()
    assert said["task"] == "text-classification"
    metadata = call(server, "GET", "/v2/models/spam").json()
    assert (said["inputs"], said["outputs"]) == (metadata["inputs"], metadata["outputs"])
    assert said["metrics"] == metadata["parameters"]["provenance"]["metrics"]
    card = call(server, "GET", said["card"])
    assert (card.status, card.body[:6]) == (200, b"# spam")


def test_what_is_listed_is_what_answers(server: str) -> None:
    listed = call(server, "GET", "/v1/models").json()["data"]
    assert len(listed) >= 9
    for model in listed:
        metadata = call(server, "GET", f"/v2/models/{model['id']}").json()
        assert metadata["versions"] == [model["version"]]


def test_tritonclient_shows_our_error(client: triton.InferenceServerClient) -> None:
    tensor = triton.InferInput("image", [1, 28, 28, 2], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 28, 28, 2), np.float32))
    with pytest.raises(triton.InferenceServerException, match=r"\[-1, 28, 28, 1\]"):
        client.infer("digits", [tensor])


@pytest.fixture
def sagemaker(server: str) -> Any:
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=server,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_sagemakers_client_sends_json_bytes_and_binary_tensors(
    sagemaker: Any, session: ort.InferenceSession
) -> None:
    pixels = np.random.default_rng(1).random((2, 28, 28, 1), dtype=np.float32)
    expected = session.run(["probabilities"], {"image": pixels})[0]

    def invoke(body: bytes, kind: str) -> tuple[bytes, str]:
        answer = sagemaker.invoke_endpoint(EndpointName="digits", Body=body, ContentType=kind)
        return answer["Body"].read(), answer["ContentType"]

    rows = json.loads(invoke(json.dumps({"instances": pixels.tolist()}).encode(), "application/json")[0])
    np.testing.assert_allclose([row["probabilities"] for row in rows["predictions"]], expected, atol=1e-6)
    picture = json.loads(invoke((FOLDER / "seven.png").read_bytes(), "image/png")[0])
    assert {output["name"]: output["data"] for output in picture["outputs"]}["digit"] == [7]
    # What AWS's Triton containers take, written by Triton's own client.
    tensor = triton.InferInput("image", [2, 28, 28, 1], "FP32")
    tensor.set_data_from_numpy(pixels)
    asked = [triton.InferRequestedOutput("probabilities", binary_data=True)]
    body, size = triton.InferenceServerClient.generate_request_body([tensor], outputs=asked)
    prefix = "application/vnd.sagemaker-triton.binary+json;json-header-size="
    raw, kind = invoke(body, f"{prefix}{size}")
    result = triton.InferenceServerClient.parse_response_body(
        raw, header_length=int(kind.removeprefix(prefix))
    )
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected, atol=1e-6)


def test_sagemakers_client_shows_our_error(sagemaker: Any) -> None:
    for name, word in (("nope", "unknown model 'nope'"), ("digits", "instances")):
        with pytest.raises(ClientError, match=word) as failed:
            sagemaker.invoke_endpoint(
                EndpointName=name, Body=b'{"instances": 1}', ContentType="application/json"
            )
        assert failed.value.response["Error"]["Code"] == "ValidationError"


def test_openai_client_is_told_which_models_there_are(server: str) -> None:
    with openai.OpenAI(base_url=server + "/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="this server has") as failed:
            client.embeddings.create(model="nope", input="a")
        assert (failed.value.code, failed.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.NotFoundError, match="gives embeddings"):
            client.embeddings.create(model="digits", input="a")


def test_curl_asks_kserves_v1(server: str) -> None:
    rows = json.dumps({"instances": [[[[0.0]] * 28] * 28]})
    asked = [
        "curl",
        "-sS",
        f"{server}/v1/models/digits:predict",
        "-H",
        "content-type: application/json",
        "-d",
        rows,
    ]
    done = subprocess.run(asked, capture_output=True, check=True)
    assert list(json.loads(done.stdout)["predictions"][0]) == ["probabilities", "digit"]
    ready = call(server, "GET", "/v1/models/digits").json()
    assert (ready["name"], ready["ready"]) == ("digits", True)


def test_our_own_client_gets_the_same_numbers_waiting_and_awaiting(
    server: str, session: ort.InferenceSession
) -> None:
    pixels = np.random.default_rng(2).random((3, 28, 28, 1), dtype=np.float32)
    expected = session.run(["probabilities"], {"image": pixels})[0]

    async def await_all() -> list[Any]:
        async with AsyncClient(server) as client:
            model = client.model("digits")
            return await asyncio.gather(*(model.predict(pixels) for _ in range(3)))

    with Client(server) as client:
        assert {"digits", "spam"} <= set(client.models())
        answers = [client.model("digits").predict(pixels), *asyncio.run(await_all())]
        assert client.model("digits").predict(FOLDER / "seven.png")["digit"].tolist() == [7]
        with pytest.raises(ApiError, match="404"):
            client.model("digits", "9.9.9").predict(pixels)
    for answer in answers:
        np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)


def test_command_predicts(server: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((28, 28, 1), np.float32))
    for given in (["--image", str(FOLDER / "seven.png")], ["--input", f"image={tmp_path / 'x.npy'}"]):
        command = [
            sys.executable,
            "-m",
            "hotplate_tools.cli",
            "predict",
            "digits",
            "--url",
            server,
            "--json",
            *given,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        digit = json.loads(done.stdout)["outputs"]["digit"]
        assert digit == [7] if "--image" in given else len(digit) == 1


def test_document_and_page_describe_each_model(server: str) -> None:
    whole = call(server, "GET", "/openapi.json").json()
    listed = {model["id"] for model in call(server, "GET", "/v1/models").json()["data"]}
    assert {f"/v2/models/{name}/infer" for name in listed} <= set(whole["paths"])
    one = call(server, "GET", "/v2/models/digits/docs/dataplane.json").json()
    path = one["paths"]["/v2/models/digits/infer"]["post"]["requestBody"]["content"]["application/json"]
    assert call(server, "POST", "/v2/models/digits/infer", json.dumps(path["example"]).encode()).status == 200
    page = call(server, "GET", "/v2/models/digits/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"image_file" in page.body
