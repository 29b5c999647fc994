"""Unchanged clients against in-process ONNX Runtime: the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import onnxruntime as ort
import pytest
import tritonclient.http as triton

import hotplate_tools.models.digits as digits

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


def test_tritonclient_shows_our_error(client: triton.InferenceServerClient) -> None:
    tensor = triton.InferInput("image", [1, 28, 28, 2], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 28, 28, 2), np.float32))
    with pytest.raises(triton.InferenceServerException, match=r"\[-1, 28, 28, 1\]"):
        client.infer("digits", [tensor])
