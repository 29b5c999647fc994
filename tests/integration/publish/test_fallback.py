"""`hotplate publish --fallback`: who may stand in for whom, where it is written, and who is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from hotplate.generation.chat import generates_text
from hotplate.manifest.schema import FileEntry, Manifest, Plan
from hotplate.protocol.types import MetadataTensor
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.cli import cli
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.fallback import check_fallback
from hotplate_tools.publish.find import find_version
from tests.support.tiny_llama import write_llama
from tests.support.tiny_models import affine, write_folder, write_picker


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)], env={"HOTPLATE_BUCKET": None})


def publish(registry: Path, folder: Path, *more: str) -> Any:
    result = run("publish", folder, "--registry", registry, "--no-measure", "--json", *more)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: str | Path) -> str:
    found = run(*arguments).exception
    assert isinstance(found, RefusedError)
    return str(found)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry with `plain`, which others may stand in for, and `picker`, whose signature is another."""
    registry = tmp_path / "registry"
    publish(registry, write_folder(tmp_path / "plain", name="plain"))
    publish(registry, write_picker(tmp_path / "picker"))
    return registry


@pytest.mark.parametrize("fallback", ["plain", "sagemaker"])
def test_fallback_is_part_of_the_version_and_told_with_its_pins(
    registry: Path, tmp_path: Path, fallback: str
) -> None:
    folder = write_folder(tmp_path / "a", name="a")
    without = publish(registry, folder)
    told = publish(registry, folder, "--fallback", fallback)
    assert told["version"] != without["version"]
    assert told["parameters"]["Fallbacks"] == f"a={fallback}"
    assert "Fallbacks" not in without["parameters"]
    manifest = find_version(FilesystemStore(registry), "a").manifest
    assert (manifest.plan.fallback, manifest.plan.memory_mb) == (fallback, 512)
    planned = run("plan", "a", "--registry", registry, "--no-measure")
    assert planned.exit_code == 0, planned.output
    assert f"fallback   {fallback}" in planned.stdout


def test_model_yaml_says_it_too_and_how_many_rows_are_taken(registry: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", name="a", plan={"fallback": "plain", "max_rows": 4})
    assert publish(registry, folder)["parameters"]["Fallbacks"] == "a=plain"
    found = json.loads(run("plan", "a", "--registry", registry, "--no-measure", "--json").stdout)
    assert (found["fallback"], found["max_rows"]) == ("plain", 4)
    # What is said last counts.
    publish(registry, folder, "--fallback", "sagemaker")
    plan = find_version(FilesystemStore(registry), "a").manifest.plan
    assert (plan.fallback, plan.max_rows) == ("sagemaker", 4)


@pytest.mark.parametrize(
    ("fallback", "words"),
    [
        ("nope", "nope has no alias 'live'"),
        ("a", "a cannot be its own fallback"),
        ("picker", "picker cannot stand in for a: inputs are x FP32 [-1, 3] and x INT64 [-1]"),
        ("No Name", "--fallback 'No Name' is neither 'sagemaker' nor a model's name"),
    ],
)
def test_who_cannot_stand_in_is_refused_and_nothing_is_written(
    registry: Path, tmp_path: Path, fallback: str, words: str
) -> None:
    folder = write_folder(tmp_path / "a", name="a")
    assert words in refused("publish", folder, "--registry", registry, "--no-measure", "--fallback", fallback)
    assert not (registry / "models/a").exists()


def test_ring_is_refused_however_long_and_at_promotion_too(registry: Path, tmp_path: Path) -> None:
    a, b = (write_folder(tmp_path / name, name=name) for name in ("a", "b"))
    publish(registry, a, "--fallback", "plain")
    publish(registry, b, "--fallback", "a")
    plain = write_folder(tmp_path / "again", name="plain")
    words = refused("publish", plain, "--registry", registry, "--no-measure", "--fallback", "b")
    assert words == "a fallback leads back: plain → b → a → plain"
    # A ring of one that was published while it was none.
    publish(registry, write_folder(tmp_path / "c", name="c"))
    ring = publish(registry, plain, "--fallback", "c", "--no-promote")
    publish(registry, tmp_path / "c", "--fallback", "plain")
    words = refused("promote", "plain", ring["version"], "--registry", registry)
    assert words == "a fallback leads back: plain → c → plain"


def test_python_has_no_place_in_sagemakers_container() -> None:
    entry = FileEntry("a", "asset", 1, "0" * 64)
    tensors = (MetadataTensor("x", "FP32", (-1,)),)
    plan = Plan(fallback="sagemaker")
    program = Manifest(1, "p", tensors, tensors, (entry,), platform="python", plan=plan)
    with pytest.raises(RefusedError, match="runs graphs only"):
        check_fallback(program, lambda _: pytest.fail("nobody else is asked"))


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A registry with `large`, which generates text, and `mute`, of the same signature, which does not."""
    made = tmp_path_factory.mktemp
    registry = made("registry")
    publish(registry, write_llama(made("large"), "large", context=512))
    manifest = find_version(FilesystemStore(registry), "large").manifest
    assert generates_text(manifest)
    return registry, write_llama(made("small"), "small", context=64)


def test_who_stands_in_for_a_model_that_generates_text_generates_text_too(chats: tuple[Path, Path]) -> None:
    registry, folder = chats
    told = publish(registry, folder, "--fallback", "large")
    assert told["parameters"]["Fallbacks"] == "small=large"
    small, large = (find_version(FilesystemStore(registry), name).manifest for name in ("small", "large"))
    files = tuple(each for each in large.files if each.path != "generation.json")
    with pytest.raises(RefusedError, match="large cannot stand in for small: it generates no text"):
        check_fallback(small, lambda _: msgspec.structs.replace(large, files=files))


def test_sagemaker_generates_no_text(chats: tuple[Path, Path]) -> None:
    registry, folder = chats
    words = refused("publish", folder, "--registry", registry, "--no-measure", "--fallback", "sagemaker")
    assert words == "small generates text, which SageMaker's container does not"


def test_fallback_of_a_project_is_a_parameter_of_its_deployment(tmp_path: Path) -> None:
    from hotplate_tools.local.deployed import deploy_parameters
    from hotplate_tools.publish.pipeline import describe

    described = [
        describe(write_folder(tmp_path / name, model=affine(), name=name, plan={"fallback": other}))
        for name, other in (("a", "sagemaker"), ("b", "a"))
    ]
    assert deploy_parameters([], described, None, public_key=None)["Fallbacks"] == "a=sagemaker,b=a"
    # Told also where there is none any more: a deployment keeps what it is not told.
    assert deploy_parameters([], [], None, public_key=None)["Fallbacks"] == ""
