"""A spaCy pipeline, saved by spaCy: published, loaded from the registry by a function's code, and asked."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import hotplate
from hotplate.manifest.schema import decode
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.environments import ensure
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.pipeline import Published, describe, publish_model
from hotplate_tools.publish.program import function_converter

PROGRAMS = Path(__file__).parent / "programs"
HOTPLATE = str(Path(hotplate.__file__).parents[1])
SPEC: dict[str, Any] = {
    "name": "entities",
    "kind": "spacy",
    "artefact": "pipeline",
    "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [
        {"name": "entity", "datatype": "BYTES", "shape": [-1]},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "place", "datatype": "INT64", "shape": [-1, 3]},
        {"name": "scores", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "vector", "datatype": "FP32", "shape": [-1, 4]},
    ],
    "golden": {"file": "golden.jsonl", "rtol": 1e-4, "atol": 1e-5},
}


def python() -> Path:
    converter = function_converter(PROGRAMS, "entities")
    return (
        ensure(converter.environment, Console(), python=converter.python, requirements=converter.requirements)
        / "python"
    )


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [python(), PROGRAMS / program, *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spacy")
    run("make_spacy.py", str(folder), str(PROGRAMS), HOTPLATE)
    (folder / "model.yaml").write_text(yaml.safe_dump(SPEC))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "source")


def described(folder: Path) -> Any:
    return describe(folder, options=ConvertOptions(source_path=PROGRAMS), console=Console(as_json=True))


def test_pipeline_is_published_loaded_from_the_registry_and_asked(folder: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    published: Published = publish_model(
        folder,
        store=FilesystemStore(registry),
        options=ConvertOptions(source_path=PROGRAMS),
        console=Console(as_json=True),
    )
    manifest = decode((registry / published.actions.manifest.key).read_bytes())
    saved = {
        path.relative_to(folder / "pipeline").as_posix()
        for path in (folder / "pipeline").rglob("*")
        if path.is_file()
    }
    assert manifest.platform == "spacy"
    assert {entry.path for entry in manifest.files if entry.role == "asset"} == saved
    assert {"config.cfg", "vocab/vectors", "textcat/model"} <= saved
    assert manifest.provenance.framework.startswith("spaCy >=3.8")
    settings = {
        "HOTPLATE_MODEL": "entities",
        "HOTPLATE_BUCKET": "none",
        "HOTPLATE_VERSION": published.version,
        "HOTPLATE_MANIFEST_SHA256": published.manifest_sha256,
        "HOTPLATE_UNSIGNED": "allowed-for-development",
        "HOTPLATE_CACHE_DIR": "off",
        "hotplate": HOTPLATE,
    }
    asked = run(
        "ask_spacy.py", str(registry), json.dumps(settings), str(PROGRAMS), "In the Hague, Apple is bad"
    )
    told = json.loads(asked)
    answer = told["answer"]
    assert answer["entity"] == ["the Hague", "Apple"]
    assert answer["label"] == ["GPE", "ORG"]
    assert answer["place"] == [[0, 3, 12], [0, 14, 19]]
    assert answer["scores"][0][1] > answer["scores"][0][0]
    assert told["foreign"] == []
    assert told["unpickled"] == []
    assert told["notes"] == ["no signature was verified: HOTPLATE_UNSIGNED allows that"]


def test_same_pipeline_is_the_same_version(folder: Path) -> None:
    assert described(folder).manifest_sha256 == described(folder).manifest_sha256


def test_kind_need_not_be_said(folder: Path) -> None:
    (folder / "model.yaml").write_text(
        yaml.safe_dump({key: value for key, value in SPEC.items() if key != "kind"})
    )
    assert described(folder).manifest.platform == "spacy"


def test_pipeline_that_answers_otherwise_is_refused(folder: Path) -> None:
    patterns = folder / "pipeline/entity_ruler/patterns.jsonl"
    patterns.write_text(patterns.read_text().replace("GPE", "LOC"))
    with pytest.raises(RefusedError, match=r"golden row 1, output 'label': element \[1\]"):
        described(folder)


def test_part_that_no_installed_package_registers_is_refused_and_no_code_of_the_folder_runs(
    folder: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    for name in ("__init__.py", "evil.py", "spacy_evil.py"):
        (folder / "pipeline" / name).write_text(f"open({str(ran)!r}, 'w')")
    config = folder / "pipeline/config.cfg"
    config.write_text(config.read_text().replace('factory = "textcat"', 'factory = "evil"'))
    with pytest.raises(RefusedError, match=r"does not load: ValueError.*evil"):
        described(folder)
    assert not ran.exists()


def test_pickle_in_the_folder_is_refused(folder: Path) -> None:
    (folder / "pipeline/textcat/model").write_bytes(b"\x80\x04\x95")
    with pytest.raises(RefusedError, match="'textcat/model' is a pickle"):
        described(folder)


def test_folder_alone_is_refused_with_what_it_lacks(folder: Path) -> None:
    with pytest.raises(RefusedError, match="what callers send and get is not in it"):
        describe(folder / "pipeline")


def test_artefact_that_is_no_pipeline_is_refused(folder: Path) -> None:
    (folder / "pipeline/meta.json").unlink()
    with pytest.raises(RefusedError, match="spaCy pipeline"):
        described(folder)
