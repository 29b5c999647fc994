"""The container's image, as far as it can be judged without building it."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.version import Version

from hotplate_tools.project import project_root

ROOT = project_root()
FOLDER = ROOT / "functions" / "sagemaker"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", path.read_text(), re.MULTILINE))


def test_what_is_copied_is_there_and_the_entry_is_a_module_of_it() -> None:
    copied = re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE)
    assert len(copied) == 3
    assert all((ROOT / source).exists() for source, _ in copied)
    (module,) = re.findall(r'^ENTRYPOINT \["python", "-m", "([\w.]+)"\]$', DOCKERFILE, re.MULTILINE)
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
    targets = {target for _, target in copied}
    assert {"/opt/hotplate/hotplate", "/opt/hotplate/functions"} <= targets
    assert "PYTHONPATH=/opt/hotplate " in DOCKERFILE


def test_nobody_serves_as_root_and_nothing_is_installed_unpinned() -> None:
    steps = re.findall(r"^(USER|ENTRYPOINT)\b", DOCKERFILE, re.MULTILINE)
    assert steps == ["USER", "ENTRYPOINT"]
    installs = re.findall(r"pip install (.*) -r ", DOCKERFILE)
    assert len(installs) == DOCKERFILE.count("pip install") == 1
    assert "--require-hashes" in installs[0]
    requirements = (FOLDER / "requirements.txt").read_text()
    assert all("--hash=sha256:" in part for part in re.split(r"^(?=[a-z])", requirements, flags=re.M)[1:])


def test_packages_are_the_layers_with_onnxruntime_for_cuda() -> None:
    layer, image = pins(ROOT / "layers/onnxruntime/requirements.txt"), pins(FOLDER / "requirements.txt")
    cpu = layer.pop("onnxruntime")
    assert layer.items() <= image.items()
    assert "onnxruntime" not in image, "two of them would overwrite each other"
    # CUDA's builds come out later: never ahead of the layer's, and never older than what borrows weights.
    assert Version("1.31") <= Version(image["onnxruntime-gpu"]) <= Version(cpu)
    assert {"nvidia-cudnn-cu13", "nvidia-cublas", "pillow"} <= set(image)
    drawn = pins(ROOT / "functions/imagenet/requirements.txt")
    assert drawn.items() <= image.items(), "models of pictures read them with the same Pillow"
