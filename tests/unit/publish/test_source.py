import os
from pathlib import Path
from typing import Any

import pytest

from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.source import Source, inside, read_source
from tests.support.tiny_models import affine, write_folder, write_onnx


def test_bare_file_is_named_after_itself(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "Churn.onnx", affine())
    assert read_source(file, None) == Source("churn", tmp_path, file, None, None, None)
    assert read_source(file, "other").name == "other"


@pytest.mark.parametrize(("named", "name"), [("nets:ResNet", "resnet"), ("my.pkg.nets:vgg", "vgg")])
def test_model_of_a_factory_is_named_after_the_factory(named: str, name: str) -> None:
    assert read_source(Path(named), None).name == name


def test_folder_gives_its_files(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "affine")
    source = read_source(folder, None)
    assert (source.name, source.folder) == ("affine", folder)
    assert (source.graph, source.golden, source.card) == (
        folder / "model.onnx",
        folder / "golden.jsonl",
        folder / "card.md",
    )


@pytest.mark.parametrize("name", ["My Model", "../x", "", "Ü", "a" * 64, "a\n", "-a"])
def test_bad_name_is_refused_and_says_how_to_give_one(tmp_path: Path, name: str) -> None:
    file = write_onnx(tmp_path / "my model.onnx", affine())
    with pytest.raises(RefusedError) as caught:
        read_source(file, name)
    assert "--name NAME" in caught.value.advice
    assert "NAME=PATH" in caught.value.advice


@pytest.mark.parametrize("name", ["model.pt", "model.h5", "absent.onnx"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.pt").touch()
    (tmp_path / "model.h5").touch()
    with pytest.raises(RefusedError, match=r"no kind of model|does not hold h5|is not there"):
        read_source(tmp_path / name, None)


def test_folder_without_model_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"model\.yaml"):
        read_source(tmp_path, None)


@pytest.mark.parametrize("key", ["artefact", "card"])
@pytest.mark.parametrize(
    "path",
    ["../secret", "/etc/passwd", "link", "dir-link/secret", "absent", "dir", "", "a\0b", "x" * 5000, "fifo"],
)
def test_file_outside_of_the_folder_is_refused(tmp_path: Path, key: str, path: str) -> None:
    (tmp_path / "secret").write_text("secret")
    changes: dict[str, Any] = {key: path}
    folder = write_folder(tmp_path / "affine", **changes)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "dir-link").symlink_to(tmp_path)
    (folder / "dir").mkdir()
    os.mkfifo(folder / "fifo")
    with pytest.raises(RefusedError):
        read_source(folder, None)


def test_golden_file_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("{}")
    folder = write_folder(tmp_path / "affine", golden={"file": "../rows"})
    with pytest.raises(RefusedError, match="outside"):
        read_source(folder, None)


def test_model_yaml_that_links_outside_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "affine")
    (folder / "model.yaml").rename(tmp_path / "model.yaml")
    (folder / "model.yaml").symlink_to(tmp_path / "model.yaml")
    with pytest.raises(RefusedError, match="outside"):
        read_source(folder, None)


def test_link_that_stays_inside_is_followed(tmp_path: Path) -> None:
    (tmp_path / "v2.onnx").touch()
    (tmp_path / "model.onnx").symlink_to("v2.onnx")
    assert inside(tmp_path, "model.onnx", "artefact") == tmp_path / "v2.onnx"
