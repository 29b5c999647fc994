"""The digits model as it is committed: its graph under ONNX Runtime, its golden rows, its sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml

from functions.digits.model import postprocess, preprocess
from hotplate_tools.models import digits
from hotplate_tools.models.digits.data import PACKAGE
from hotplate_tools.models.digits.drawing import draw

Array = np.ndarray[Any, Any]

SOURCE = Path(digits.__file__).parent
SPEC = yaml.safe_load((SOURCE / "model.yaml").read_text())
GRAPH = SOURCE / SPEC["artefact"]
ROWS = [json.loads(line) for line in (SOURCE / SPEC["golden"]["file"]).read_text().splitlines()]
IMAGES = np.concatenate([np.asarray(row["inputs"]["image"], np.float32) for row in ROWS])  # (N, 28, 28, 1)


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(GRAPH, providers=["CPUExecutionProvider"])


def predict(session: onnxruntime.InferenceSession, **inputs: Array) -> dict[str, Array]:
    names = [output.name for output in session.get_outputs()]
    return postprocess(dict(zip(names, session.run(names, preprocess(inputs)), strict=True)))


def test_graph_is_one_file_of_at_most_a_megabyte() -> None:
    assert GRAPH.stat().st_size <= 1_000_000
    weights = onnx.load(GRAPH, load_external_data=False).graph.initializer
    assert [weight.name for weight in weights if weight.data_location == onnx.TensorProto.EXTERNAL] == []
    assert sum(
        int(np.prod(weight.dims)) for weight in weights if weight.data_type == onnx.TensorProto.FLOAT
    ) == (320 + 18_496 + 102_464 + 650)


def test_graph_has_a_float32_contract_and_a_free_batch(session: onnxruntime.InferenceSession) -> None:
    contract = [
        (tensor.name, tensor.type, tensor.shape) for tensor in [*session.get_inputs(), *session.get_outputs()]
    ]
    assert contract == [
        ("image", "tensor(float)", ["batch", 28, 28, 1]),
        ("probabilities", "tensor(float)", ["batch", 10]),
    ]


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_golden_rows_are_reproduced_at_every_batch_size(
    session: onnxruntime.InferenceSession, batch: int
) -> None:
    parts = [predict(session, image=IMAGES[start : start + batch]) for start in range(0, len(IMAGES), batch)]
    for name in ("probabilities", "digit"):
        expected = np.concatenate([np.asarray(row["outputs"][name]) for row in ROWS])
        got = np.concatenate([part[name] for part in parts])
        np.testing.assert_allclose(got, expected, rtol=SPEC["golden"]["rtol"], atol=SPEC["golden"]["atol"])


def test_golden_rows_are_one_image_of_each_digit() -> None:
    assert [row["outputs"]["digit"] for row in ROWS] == [[digit] for digit in range(10)]
    assert IMAGES.shape == (10, 28, 28, 1)


def test_a_batch_of_none_is_answered_by_none(session: onnxruntime.InferenceSession) -> None:
    outputs = predict(session, image=IMAGES[:0])
    assert {name: array.shape for name, array in outputs.items()} == {"probabilities": (0, 10), "digit": (0,)}


def test_sample_picture_is_a_seven(session: onnxruntime.InferenceSession) -> None:
    file = (SOURCE / "seven.png").read_bytes()
    outputs = predict(session, image_file=np.array([file], object))
    assert outputs["digit"].tolist() == [7]
    assert outputs["probabilities"][0, 7] > 0.9


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("side", [28, 200, 1200])
def test_drawn_digits_are_recognised_at_every_size(
    session: onnxruntime.InferenceSession, side: int, kind: Any
) -> None:
    files = np.array([draw(image, side=side, kind=kind) for image in IMAGES], object)
    assert predict(session, image_file=files)["digit"].tolist() == list(range(10))


def test_outputs_are_what_the_model_declares(session: onnxruntime.InferenceSession) -> None:
    outputs = predict(session, image=IMAGES)
    dtypes = {"FP32": np.float32, "INT64": np.int64}
    assert {name: (array.dtype, array.ndim) for name, array in outputs.items()} == {
        output["name"]: (dtypes[output["datatype"]], len(output["shape"])) for output in SPEC["outputs"]
    }


def test_provenance_names_the_data_that_the_trainer_fetches() -> None:
    assert SPEC["provenance"]["data_sha256"] == PACKAGE.sha256
    assert SPEC["provenance"]["metrics"]["accuracy"] >= 0.98
    assert SPEC["provenance"]["metrics"]["accuracy_image_file"] >= 0.965
