"""`hotplate up MODEL`: models of the user's own, served beside the template's and like them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.project import project_root
from tests.support.asking import assert_answers_as_its_framework_did
from tests.support.http_call import call
from tests.support.sources import ONNX_SOURCES, SourceKind
from tests.support.tiny_models import affine, write_folder, write_onnx

if TYPE_CHECKING:
    from pathlib import Path

UP = [sys.executable, "-m", "hotplate_tools.cli", "up", "--json"]


@pytest.fixture(scope="module", params=["cloud", "harness"])
def local_url(request: pytest.FixtureRequest) -> str:
    """The URL of each kind of local cloud; both were given the models."""
    url: str = request.getfixturevalue(request.param).url
    return url


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("source", ONNX_SOURCES, ids=lambda source: source.name)
def test_own_model_answers_as_it_should(
    local_url: str, onnx_models: Path, source: SourceKind, binary: bool
) -> None:
    facts = onnx_models / f"{source.facts}.npz"
    assert_answers_as_its_framework_did(local_url, source.name, facts, binary=binary)


def test_own_models_are_in_the_catalogue_and_the_templates_model_is_still_there(local_url: str) -> None:
    refused = call(local_url, "GET", "/v2/models/absent").json()["error"]
    names = refused.rpartition("this server has: ")[2].split(", ")
    assert {"digits", "onnx", "onnx-external"} <= set(names)
    assert call(local_url, "GET", "/v2/models/digits/ready").status == 200


def test_command_serves_files_and_folders_by_their_names_and_prints_how_to_ask(tmp_path: Path) -> None:
    template, built = project_root() / "template.yaml", project_root() / ".aws-sam/build"
    before = template.read_bytes()
    bare = write_onnx(tmp_path / "Thrice.onnx", affine(3.0))
    signs = write_onnx(tmp_path / "a=b.onnx", affine(5.0))
    folder = write_folder(tmp_path / "folder", name="in-yaml")
    command = [*UP, str(bare), f"five.times={signs}", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        own = ["thrice", "five.times", "in-yaml"]
        assert ready["models"][-3:] == own
        assert "digits" in ready["models"]
        answers = {name: asked_by_shell(ready["examples"][name]) for name in ("digits", *own)}
        for name, factor in (("thrice", 3), ("five.times", 5), ("in-yaml", 2)):
            # Commands are for the shell; what is in them is what they ask.
            ((row,),) = (each["data"] for each in requested(ready["examples"][name])["inputs"])
            answered = answers[name]["outputs"][0]["data"]
            assert answered == pytest.approx([factor * element for element in row], rel=1e-5)
        assert answers["digits"]["name"] == "digits"  # its pictures are too long for a line
    finally:
        process.terminate()
        _, steps = process.communicate(timeout=60)
    assert template.read_bytes() == before
    # Functions of models that are not the template's are in no file of the build.
    assert "ThriceFunction" not in read_yaml(built / "template.yaml")["Resources"]
    assert "Building" not in steps, "nothing is built for a model once the project is"


def asked_by_shell(command: str) -> Any:
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def requested(command: str) -> Any:
    return json.loads(command.partition(" -d '")[2].removesuffix("'"))


def test_refusal_is_told_with_its_code_and_nothing_is_started(onnx_models: Path) -> None:
    command = [*UP, f"digits={onnx_models / 'affine.onnx'}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    told = json.loads(done.stdout)
    assert (done.returncode, told["type"], done.stderr) == (3, "RefusedError", "")
    assert told["error"].endswith("by DigitsFunction, which the template has already")
    assert told["advice"].startswith("Give it another name: NAME=")
