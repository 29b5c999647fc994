"""The container's image, as far as it can be judged without building it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from packaging.version import Version

from hotplate_tools.project import project_root
from tests.support.template import DOCUMENT

ROOT = project_root()
FOLDER = ROOT / "functions" / "sagemaker"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
LINES = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
STEPS = [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in LINES]


def of(step: str) -> list[str]:
    return [said for name, said in STEPS if name == step]


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


def test_base_is_the_functions_python_of_one_release_of_debian() -> None:
    (base,) = of("ARG")
    name, _, image = base.partition("=")
    assert (of("FROM"), name) == (["${BASE}"], "BASE"), "a digest can be given when it is built"
    python, system = re.fullmatch(r"python:(\d\.\d+)-slim-([a-z]+)", image, re.ASCII).groups()  # type: ignore[union-attr]
    assert f"python{python}" == DOCUMENT["Globals"]["Function"]["Runtime"]
    # The wheels are locked for glibc 2.28; Debian 12 has 2.36.
    assert system == "bookworm"
    (lock,) = re.findall(
        r"--python-version (\S+) \\\n.*\\\n\s+functions/sagemaker", (ROOT / "Makefile").read_text()
    )
    assert lock == python


def test_who_serves_cannot_change_what_is_served() -> None:
    names = [name for name, _ in STEPS]
    assert names.index("USER") > max(at for at, name in enumerate(names) if name in ("COPY", "RUN"))
    assert of("USER") == ["serving"]
    assert any(re.search(r"useradd .*--uid 1\d{4} serving$", run) for run in of("RUN"))
    assert not re.search(r"--chown|--chmod|chown|chmod|sudo", DOCKERFILE)
    # SageMaker mounts what it writes, and a container may write its own temporary folder.
    assert of("WORKDIR") == ["/tmp"]  # noqa: S108 - the container's


def test_a_stop_reaches_the_server_and_nothing_unpinned_or_secret_is_in_it() -> None:
    assert {name for name, _ in STEPS} == {
        "ARG",
        "FROM",
        "ENV",
        "COPY",
        "RUN",
        "USER",
        "WORKDIR",
        "EXPOSE",
        "ENTRYPOINT",
    }
    (entry,) = of("ENTRYPOINT")
    assert json.loads(entry)[0] == "python", "a shell before it would keep SIGTERM to itself"
    assert not re.search(r"\b(apt-get|apk|curl|wget|git|ADD)\b", DOCKERFILE)
    assert not re.search(r"(?i)(secret|password|token|aws_access)", " ".join(of("ENV") + of("ARG")))


def test_the_builder_sees_what_is_copied_and_no_keys() -> None:
    told = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in told if not line.startswith("#")]
    assert rules[0] == "*"
    seen = {line[1:] for line in rules if line.startswith("!")}
    copied = {said.split()[0] for said in of("COPY")}
    assert all(any(source == each or source.startswith(f"{each}/") for each in seen) for source in copied)
    assert all(any(source.startswith(each) for source in copied) for each in seen)
    assert {"**/__pycache__", "**/*.pem"} <= set(rules)
