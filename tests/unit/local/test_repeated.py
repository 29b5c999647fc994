from pathlib import Path

import pytest

from hotplate_tools.failures import RefusedError
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.repeated import layers_of, remove_repeated
from hotplate_tools.project import project_root


def package(folder: Path, name: str, version: str, *files: str) -> None:
    info = f"{name}-{version}.dist-info"
    recorded = [*files, f"{info}/METADATA", f"{info}/RECORD"]
    for file in recorded:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    record = "".join(f"{file},,\n" for file in [*recorded, "../../bin/script", f"{name}/gone.pyi"])
    (folder / info / "RECORD").write_text(record)


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_package_of_a_layer_is_taken_out_of_the_function_only(tmp_path: Path) -> None:
    package(tmp_path / "Layer/python", "numpy", "2.1", "numpy/a.py")
    package(tmp_path / "F", "numpy", "2.1", "numpy/a.py", "numpy/core/b.py", "numpy.libs/c.so", "shared/d.py")
    package(tmp_path / "F", "cv2", "5.0", "cv2/a.py", "shared/e.py")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/script").touch()
    remove_repeated(tmp_path, {"F": ("Layer",)})
    info = {f"cv2-5.0.dist-info{name}" for name in ("", "/METADATA", "/RECORD")}
    assert files_of(tmp_path / "F") == {"cv2", "cv2/a.py", "shared", "shared/e.py"} | info
    assert "numpy/a.py" in files_of(tmp_path / "Layer/python")
    assert (tmp_path / "bin/script").exists()


def test_another_version_than_the_layers_is_refused(tmp_path: Path) -> None:
    package(tmp_path / "Layer/python", "numpy", "2.1", "numpy/a.py")
    package(tmp_path / "F", "numpy", "2.0", "numpy/a.py")
    with pytest.raises(RefusedError, match=r"F brings numpy-2\.0, its layer holds numpy-2\.1"):
        remove_repeated(tmp_path, {"F": ("Layer",)})


def test_layers_are_those_of_globals_and_the_functions_own() -> None:
    layers = layers_of(read_yaml(project_root() / "template.yaml"))
    assert layers["DigitsFunction"] == ("ServingLayer", "TablesLayer", "OnnxruntimeLayer")
    assert layers["CatalogueFunction"] == ("ServingLayer", "TablesLayer", "CodecsLayer")
