from pathlib import Path
from typing import Any

import pytest
import yaml

from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.model_yaml import (
    MAX_YAML_BYTES,
    GoldenSpec,
    ModelSpec,
    PlanSpec,
    ProvenanceSpec,
    TensorSpec,
    read_spec,
)
from tests.support.tiny_models import spec_of


def read(folder: Path, text: str) -> ModelSpec:
    file = folder / "model.yaml"
    file.write_text(text)
    return read_spec(file)


def test_everything_that_was_said_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, yaml.safe_dump(spec_of())) == ModelSpec(
        name="affine",
        task="scaling",
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 3), description="rows of three"),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 3)),),
        labels={"y": ("a", "b", "c")},
        artefact="model.onnx",
        golden=GoldenSpec(file="golden.jsonl", rtol=1e-4, atol=1e-5),
        card="card.md",
        plan=PlanSpec(memory_mb=512, intra_op_threads=1),
        provenance=ProvenanceSpec(command="python train.py", seed=7, metrics={"accuracy": 0.98}),
    )


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"surprise": 1}, "surprise"),
        ({"golden": {"file": "g", "rtoll": 1}}, "golden.rtoll"),
        ({"golden": {"file": "g", "rtol": -1}}, "golden.rtol"),
        ({"golden": {"file": "g", "atol": float("inf")}}, "golden.atol"),
        ({"golden": {"file": "g", "atol": float("nan")}}, "golden.atol"),
        ({"name": "Affine"}, "name"),
        ({"name": "../affine"}, "name"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"name": "x", "datatype": "float32", "shape": [1]}]}, "datatype"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-2]}]}, "shape"),
        ({"inputs": [{"name": "x", "datatype": "FP32"}]}, "shape"),
        ({"artefact": None}, "artefact"),
        ({"plan": {"memory_mb": 64}}, "memory_mb"),
        ({"provenance": {"data_sha256": "abc"}}, "data_sha256"),
        ({"provenance": {"metrics": {"loss": float("nan")}}}, "loss"),
        ({"labels": {"y": [0, 1, 2]}}, "labels"),
    ],
    ids=str,
)
def test_wrong_key_is_refused_and_named(tmp_path: Path, changes: dict[str, Any], word: str) -> None:
    with pytest.raises(RefusedError, match=word):
        read(tmp_path, yaml.safe_dump(spec_of(**changes)))


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "name: !!python/object/apply:os.system ['true']",
        "name: a\nname: b",
        "golden: {file: a, file: b}",
        "[" * 5_000,
        "name: 'open",
        "just words",
        "",
        "\x00",
        "? [a, b]\n: c",
        "{a: 1}: c",
        "<<: {name: a}",
        "name: 2026-13-45",
    ],
    ids=[
        "alias bomb",
        "python object",
        "key twice",
        "inner key twice",
        "very deep",
        "cut off",
        "a string",
        "empty",
        "control character",
        "list as key",
        "mapping as key",
        "merge key",
        "impossible date",
    ],
)
def test_unsafe_or_broken_yaml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RefusedError):
        read(tmp_path, text)


def test_alias_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="aliases are not allowed"):
        read(tmp_path, BOMB)


def test_key_twice_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="a key is there twice"):
        read(tmp_path, yaml.safe_dump(spec_of()) + "task: again\n")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_bytes(b"\xff\xfe\xfa: \x80")
    with pytest.raises(RefusedError):
        read_spec(file)


def test_longer_than_the_cap_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="longer than"):
        read(tmp_path, "# " + "x" * MAX_YAML_BYTES)
