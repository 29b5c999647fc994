"""Models given to `hotplate up`: what is refused before anything starts, and what the template gains."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hotplate_tools.cli import cli
from hotplate_tools.console import Console
from hotplate_tools.failures import RefusedError
from hotplate_tools.local.build import host_architecture
from hotplate_tools.local.prepared import GivenModel, prepare
from hotplate_tools.local.strict import strict_cloud
from hotplate_tools.local.template import read_template
from hotplate_tools.local.up import local_cloud
from hotplate_tools.publish.signing import pinned
from tests.support.tiny_models import affine, one_node, write_folder, write_onnx

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("cloud", [local_cloud, strict_cloud])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([("digits", "good.onnx")], "DigitsFunction, which the template has already"),
        ([("catalogue", "good.onnx")], "CatalogueFunction, which the template has already"),
        ([(None, "good.onnx"), ("good", "broken.onnx")], "would both be served by GoodFunction"),
        ([("a.b", "good.onnx"), ("a-b", "good.onnx")], "would both be served by ABFunction"),
        ([("Bad", "good.onnx")], "'Bad' is no model name"),
        ([(None, "good.onnx"), (None, "broken.onnx")], r"broken.onnx is not valid ONNX"),
        ([(None, ".")], r"neither a folder with model.yaml nor a SavedModel"),
        ([(None, "model.pkl")], "is a pickle"),
    ],
    ids=["template's", "function's", "twice", "one id twice", "no name", "broken", "no model", "pickle"],
)
def test_model_that_cannot_be_served_is_refused_before_anything_is_started(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    cloud: Any,
    given: list[tuple[str | None, str]],
    words: str,
) -> None:
    write_onnx(tmp_path / "good.onnx", affine())
    write_onnx(tmp_path / "broken.onnx", one_node("NoSuchOperator"))
    (tmp_path / "model.pkl").touch()
    models = [GivenModel(tmp_path / path, name) for name, path in given]
    with pytest.raises(RefusedError, match=words), cloud(Console(as_json=True), models):
        pytest.fail("it was started")
    steps = [json.loads(line)["step"] for line in capsys.readouterr().err.splitlines()]
    assert [step for step in steps if not step.startswith("Checking ")] == []


def test_template_gains_a_function_that_differs_from_the_templates_in_its_model_and_code_only(
    tmp_path: Path,
) -> None:
    given = [
        GivenModel(write_onnx(tmp_path / "my-digits.onnx", affine(2))),
        GivenModel(write_folder(tmp_path / "folder", name="digits2")),
        GivenModel(write_onnx(tmp_path / "m.onnx", affine(3)), "spam-filter.v2"),
    ]
    prepared = prepare(Console(as_json=True), given, reserved_concurrency=3)
    made = prepared.build_in(tmp_path)
    template = read_template(made.template, parameters=prepared.parameters, bucket="b")
    # Built, but not deployed: there is no SageMaker here.
    assert set(made.functions) - set(template.functions) == {"GpuProxyFunction", "GpuSweeperFunction"}
    assert set(template.functions) <= set(made.functions)
    digits = template.functions["DigitsFunction"]
    for function, model in zip(
        ("MyDigitsFunction", "Digits2Function", "SpamFilterV2Function"), prepared.models[-3:], strict=True
    ):
        own = template.functions[function]
        assert own.handler == "functions.tensor.app.lambda_handler"
        assert (own.code / "functions/tensor/app.py").is_file()
        assert own.environment == {
            **digits.environment,
            "HOTPLATE_MODEL": model.manifest.name,
            "HOTPLATE_VERSION": model.version,
            "HOTPLATE_MANIFEST_SHA256": model.manifest_sha256,
            "HOTPLATE_SIGNING_KEYS": pinned(prepared.signer.public_key),
        }
        same = ("runtime", "architecture", "layers", "memory_mb", "timeout_s", "reserved_concurrency")
        assert [getattr(own, name) for name in same] == [getattr(digits, name) for name in same]
        routes = {(each.method, each.resource) for each in template.routes if each.function == function}
        assert routes == {
            (each.method, each.resource.replace("/digits", f"/{model.manifest.name}"))
            for each in template.routes
            if each.function == "DigitsFunction"
        }
    assert (digits.architecture, digits.reserved_concurrency) == (host_architecture(), 3)


def test_local_cloud_is_given_zips_that_are_built_already(tmp_path: Path) -> None:
    prepared = prepare(
        Console(as_json=True), [GivenModel(write_onnx(tmp_path / "m.onnx", affine()), "twice")]
    )
    local = json.loads(prepared.build_in(tmp_path).local_template.read_text())["Resources"]
    zips = {
        name: each["Properties"][key]
        for name, each in local.items()
        for key in ("CodeUri", "ContentUri")
        if key in each["Properties"]
    }
    folder = prepared.build.folder
    assert zips["TwiceFunction"] == str(folder / "TensorFunction.zip")
    assert {name: each for name, each in zips.items() if name != "TwiceFunction"} == {
        name: str(folder / f"{name}.zip") for name in (*prepared.build.functions, *prepared.build.layers)
    }
    assert all((folder / each).is_file() for each in zips.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trust-pickle"], "are for a MODEL"),
        (["absent.onnx"], "'absent.onnx' does not exist"),
        (["name=absent.onnx"], "'absent.onnx' does not exist"),
        (["=setup.py"], "'=setup.py' does not exist"),
    ],
)
def test_wrong_command_line_is_a_usage_error(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(cli, ["up", *arguments])
    assert (result.exit_code, words in result.output) == (2, True)
