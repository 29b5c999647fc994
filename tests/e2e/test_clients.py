"""Unchanged clients against in-process ONNX Runtime: the same numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import onnxruntime as ort
import openai
import pytest
import tritonclient.http as triton

import hotplate_tools.models.digits as digits
from tests.support.http_call import call

if TYPE_CHECKING:
    from collections.abc import Iterator

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
