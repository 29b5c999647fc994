"""The git revision: recorded when asked for, the same for the same source, honest when it is not all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.pipeline import Described, describe
from hotplate_tools.publish.revision import revision_of
from hotplate_tools.publish.source import read_source
from tests.support.tiny_models import affine, write_folder, write_onnx

WHO = {
    "GIT_AUTHOR_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@example.com",
    "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, env={**os.environ, **WHO}, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(repository: Path) -> str:
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "change")
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    write_folder(folder / "affine", card=None)
    (folder / "affine/card.md").unlink()
    git(folder, "init", "--quiet")
    return folder


def recorded(folder: Path) -> Described:
    return describe(folder, record_revision=True)


def test_revision_is_the_commit_that_last_changed_the_source(repository: Path) -> None:
    first = commit(repository)
    before = recorded(repository / "affine")
    (repository / "elsewhere").touch()
    commit(repository)
    after = recorded(repository / "affine")
    assert before.manifest.provenance.git_revision == first
    assert (
        f"Git revision: {first}"
        in next(
            file.body for file in after.files if file.entry.role == "card" and isinstance(file.body, bytes)
        ).decode()
    )
    assert after.version == before.version


def test_version_is_the_same_with_and_without_git_unless_it_is_asked_for(
    repository: Path, tmp_path: Path
) -> None:
    commit(repository)
    plain = describe(repository / "affine")
    assert plain.manifest.provenance.git_revision is None
    assert plain.version == describe(write_copy(repository / "affine", tmp_path / "copy")).version
    assert plain.version != recorded(repository / "affine").version


def write_copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


@pytest.mark.parametrize("change", ["edited", "untracked", "ignored artefact"])
def test_what_is_not_all_committed_is_called_dirty(repository: Path, change: str) -> None:
    if change == "ignored artefact":
        (repository / ".gitignore").write_text("*.onnx\n")
    first = commit(repository)
    if change == "edited":
        write_onnx(repository / "affine/model.onnx", affine())
        (repository / "affine/model.yaml").write_text(
            (repository / "affine/model.yaml").read_text().replace("rows of three", "rows")
        )
    elif change == "untracked":
        (repository / "affine/notes.txt").touch()
    assert recorded(repository / "affine").manifest.provenance.git_revision == f"{first}-dirty"


def test_bare_file_is_dirty_by_itself_only(repository: Path) -> None:
    first = commit(repository)
    (repository / "affine/notes.txt").touch()
    assert recorded(repository / "affine/model.onnx").manifest.provenance.git_revision == first


def test_hook_s_environment_means_no_other_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(repository)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert revision_of(read_source(repository / "affine", None)) == first


def test_source_outside_of_git_or_in_no_commit_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="git"):
        recorded(write_folder(tmp_path / "outside"))
    (repository / "other").touch()
    git(repository, "add", "other")
    git(repository, "commit", "--quiet", "--message", "other")
    with pytest.raises(RefusedError, match="no commit holds affine"):
        recorded(repository / "affine")


def test_history_that_is_cut_off_is_refused_with_the_cure(repository: Path, tmp_path: Path) -> None:
    commit(repository)
    (repository / "elsewhere").touch()
    commit(repository)
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", str(shallow))
    with pytest.raises(RefusedError, match="cut off") as caught:
        recorded(shallow / "affine")
    assert caught.value.advice == "git fetch --unshallow"


def test_missing_git_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(repository)
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(RefusedError, match="not installed"):
        recorded(repository / "affine")


def test_stated_revision_is_kept_and_may_not_contradict_git(repository: Path) -> None:
    provenance = {"git_revision": "0123abc"}
    write_folder(repository / "affine", provenance=provenance)
    commit(repository)
    assert describe(repository / "affine").manifest.provenance.git_revision == "0123abc"
    with pytest.raises(RefusedError, match="0123abc"):
        recorded(repository / "affine")
