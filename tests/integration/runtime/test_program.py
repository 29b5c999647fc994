"""A model that is Python, link by link: what `load` sees, when it sees nothing, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from hotplate.errors import (
    DigestMismatchError,
    InferenceError,
    LengthMismatchError,
    ManifestError,
    ProgramError,
    SettingsError,
    SignatureError,
    UnreadableImageError,
)
from hotplate.manifest.layout import blob_key
from hotplate.protocol.types import InferenceRequest, RequestOutput, Tensor
from hotplate.runtime.assets import PrivateFolder, write_asset
from hotplate.runtime.loader import load_model
from hotplate.runtime.program import load_program
from tests.support.published import Published, published, published_program, republished

PROVISIONED = "provisioned-concurrency"

type Array = np.ndarray[Any, Any]

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)
REQUEST = InferenceRequest("7", (Tensor("x", "FP32", ROWS),), (RequestOutput("y", binary=True),))
ASSETS = {"factor.json": b"3", "tables/deep/words.txt": b"one two", "empty": b""}


class Scale:
    """A program: y = factor * x."""

    def __init__(self, assets: Path) -> None:
        self.factor = np.float32(json.loads((assets / "factor.json").read_text()))

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {"y": inputs["x"] * self.factor}


class Raises:
    """A program that gives what it was made with."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def predict(self, inputs: Mapping[str, Array]) -> Any:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this test alone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def never(assets: Path) -> Scale:
    raise AssertionError(f"load saw {sorted(assets.rglob('*'))}")


def homes(temporary: Path) -> list[Path]:
    return sorted(temporary.glob("hotplate-assets-*"))


def test_program_is_loaded_from_its_assets_and_answers() -> None:
    version = published_program(ASSETS)
    seen: dict[str, bytes] = {}

    def load(assets: Path) -> Scale:
        seen.update({str(f.relative_to(assets)): f.read_bytes() for f in assets.rglob("*") if f.is_file()})
        return Scale(assets)

    model = load_program(version.settings, version.reader, load, lambda: {"x": ROWS})
    np.testing.assert_array_equal(model.predict(REQUEST).outputs[0].array, ROWS * 3)
    assert seen == ASSETS
    assert list(model.ledger.phases) == [
        "runtime",
        "imports",
        "manifest",
        "fetch",
        "assets",
        "session",
    ]
    assert model.ledger.notes == []


def test_program_runs_its_example_only_where_nobody_waits_for_init() -> None:
    version = published_program(ASSETS)
    ran: list[int] = []

    def example() -> dict[str, Any]:
        ran.append(1)
        return {"x": ROWS}

    load_program(version.settings, version.reader, Scale, example)
    assert ran == []
    model = load_program(version.settings._replace(init_type=PROVISIONED), version.reader, Scale, example)
    assert ran == [1]
    assert list(model.ledger.phases)[-1] == "warmup"
    assert model.ledger.notes == []


def test_assets_are_nobody_else_s_and_cannot_be_written(temporary: Path) -> None:
    version = published_program(ASSETS)
    load_program(version.settings, version.reader, Scale)
    (home,) = homes(temporary)
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "assets/factor.json").stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda body: b"4", DigestMismatchError),
        (lambda body: body + b"4", LengthMismatchError),
        (lambda body: b"", LengthMismatchError),
    ],
    ids=["altered", "longer", "cut"],
)
def test_asset_that_is_not_as_published_is_never_seen(
    temporary: Path, change: Any, error: type[Exception]
) -> None:
    version = published_program(ASSETS)
    entry = next(entry for entry in version.manifest.files if entry.path == "factor.json")
    key = blob_key(entry.sha256)
    version.reader.objects[key] = change(version.reader.objects[key])
    with pytest.raises(error):
        load_program(version.settings, version.reader, never)
    assert homes(temporary) == []


def test_cached_asset_that_was_altered_is_fetched_again(tmp_path: Path) -> None:
    version = published_program(ASSETS, cache_dir=tmp_path / "cache")
    load_program(version.settings, version.reader, Scale)
    entry = next(entry for entry in version.manifest.files if entry.path == "factor.json")
    (tmp_path / "cache" / entry.sha256).write_bytes(b"9")
    version.reader.reads.clear()
    model = load_program(version.settings, version.reader, Scale)
    np.testing.assert_array_equal(model.predict(REQUEST).outputs[0].array, ROWS * 3)
    blobs = [key for key in version.reader.reads if key.startswith("blobs/")]
    assert blobs == [blob_key(entry.sha256)], "the others came from the cache"


def test_unsigned_version_is_never_seen() -> None:
    version = published_program(ASSETS)
    del version.reader.objects[version.signature_key]
    with pytest.raises(SignatureError):
        load_program(version.settings, version.reader, never)
    assert not [key for key in version.reader.reads if key.startswith("blobs/")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("model.pkl", b"x"),
        ("words", b"\x80\x04\x95\x05\x00"),
        ("a.npy", b"\x93NUMPY\x01\x00{'descr': '|O', "),
    ],
)
def test_pickle_is_never_seen(path: str, body: bytes) -> None:
    version = published_program({**ASSETS, path: body})
    with pytest.raises(ProgramError, match="reading one runs any code"):
        load_program(version.settings, version.reader, never)


def test_graph_and_program_do_not_take_each_other_s_versions() -> None:
    graph, program = published(), published_program(ASSETS)
    with pytest.raises(ManifestError, match="platform 'onnx_onnxv1', not Python"):
        load_program(graph.settings, graph.reader, never)
    with pytest.raises(ManifestError, match="platform 'python', not a graph"):
        load_model(program.settings, program.reader)


def test_load_that_fails_is_ours_and_leaves_no_folder(temporary: Path) -> None:
    version = published_program({"factor.json": b"not json"})
    with pytest.raises(ProgramError, match="does not load: JSONDecodeError"):
        load_program(version.settings, version.reader, Scale)
    assert homes(temporary) == []


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (RuntimeError("a library's own"), InferenceError, "RuntimeError: a library's own"),
        (UnreadableImageError("x", expected="a", received="b"), UnreadableImageError, "expected a"),
        ({"y": ROWS.astype(np.float64)}, InferenceError, r"float64 \[2, 3\], its manifest declares FP32"),
        ({"y": ROWS[:, :2]}, InferenceError, r"\[2, 2\], its manifest declares FP32 \[-1, 3\]"),
        ({}, InferenceError, "gave no output 'y'"),
    ],
)
def test_answers_are_held_to_the_manifest(given: Any, error: type[Exception], words: str) -> None:
    version = published_program(ASSETS)
    model = load_program(version.settings, version.reader, lambda _: Raises(given))
    with pytest.raises(error, match=words):
        model.predict(REQUEST)


def test_example_that_fails_is_noted_and_the_model_is_served() -> None:
    version = published_program(ASSETS)
    model = load_program(version.settings._replace(init_type=PROVISIONED), version.reader, Scale, dict)
    assert model.ledger.notes == ["not warmed up: the program failed: KeyError: 'x'"]


def test_asset_without_room_is_a_fault_of_the_deployment(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(SettingsError, match="'a/b' of 1 bytes could not be written"):
        write_asset(tmp_path, "a/b", memoryview(b"x"))
    with pytest.raises(SettingsError, match="'a' of 1 bytes"):
        write_asset(tmp_path, "a", memoryview(b"x"))


def test_path_that_is_a_file_and_a_folder_is_no_manifest() -> None:
    version = published_program({"a": b"1", "a-b": b"2", "a/b": b"3"})
    with pytest.raises(ManifestError, match="'a' is a file and a folder"):
        load_program(version.settings, version.reader, never)


def test_program_has_no_graph() -> None:
    version = published_program(ASSETS)
    files = tuple(msgspec.structs.replace(entry, role="graph") for entry in version.manifest.files[:1])
    manifest = msgspec.structs.replace(version.manifest, files=files)
    again: Published = republished(manifest, {})
    with pytest.raises(ManifestError, match="a python model has no 'graph' file"):
        load_program(again.settings, again.reader, never)


FORKS = """
import os, pathlib, sys
from hotplate.runtime.assets import PrivateFolder
path = PrivateFolder(pathlib.Path(sys.argv[1])).path
if os.fork() == 0:
    sys.exit()
os.wait()
print(path.exists())
"""


def test_forked_child_that_ends_leaves_its_parents_folder(temporary: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(temporary)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
    assert homes(temporary) == []


WAITS = """
import pathlib, sys, time
from hotplate.runtime.assets import PrivateFolder
print(PrivateFolder(pathlib.Path(sys.argv[1])).path, flush=True)
sys.stdin.read()
"""


def test_folders_go_with_their_process_and_after_it(temporary: Path) -> None:
    command = [sys.executable, "-c", WAITS, str(temporary)]
    lives, killed, ends = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    )
    paths = {}
    for process in (lives, killed, ends):
        assert process.stdout is not None
        paths[process] = Path(process.stdout.readline().strip()).parent
    try:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait(10)
        ends.communicate("", timeout=10)
        assert [paths[process].exists() for process in (lives, killed, ends)] == [True, True, False]
        being_made = temporary / "hotplate-assets-young"
        being_made.mkdir()
        mine = PrivateFolder(temporary)
        assert homes(temporary) == sorted([paths[lives], being_made, mine.path.parent])
        mine.remove()
    finally:
        for process in (lives, killed):
            process.kill()
            process.communicate()
