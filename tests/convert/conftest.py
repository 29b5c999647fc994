"""Models made by each framework, once a run, in the framework's own environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hotplate_tools.console import Console
from hotplate_tools.convert.kinds import KINDS, Converter
from hotplate_tools.environments import ensure
from tests.support.sources import write_onnx_sources

PROGRAMS = Path(__file__).parent / "programs"


def made(kind: str, program: str, folder: Path) -> Path:
    converter = KINDS[kind]
    assert isinstance(converter, Converter)
    binaries = ensure(converter.environment, Console(), python=converter.python, by_pip=converter.by_pip)
    done = subprocess.run(
        [binaries / "python", "-W", "ignore", PROGRAMS / program, folder],
        check=False,
        capture_output=True,
        text=True,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONHASHSEED": "0",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def onnx_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_onnx_sources(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="session")
def sklearn_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("skops", "make_sklearn.py", tmp_path_factory.mktemp("sklearn"))


@pytest.fixture(scope="session")
def boosted_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("lightgbm", "make_boosted.py", tmp_path_factory.mktemp("boosted"))


@pytest.fixture(scope="session")
def keras_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("keras", "make_keras.py", tmp_path_factory.mktemp("keras"))


@pytest.fixture(scope="session")
def torch_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("torch", "make_torch.py", tmp_path_factory.mktemp("torch"))
