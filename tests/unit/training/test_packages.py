"""Packages are the pinned bytes or nothing; members are read by name; no network."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from hotplate_tools.failures import FailedError
from hotplate_tools.training.packages import Package, fetch, member_names, read_member

if TYPE_CHECKING:
    from pathlib import Path

BODY = b"the package"
NPM = Package("npm", "@scope/words", "1.2.3", hashlib.sha256(BODY).hexdigest())


def tgz(member: str, body: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        entry = tarfile.TarInfo(member)
        entry.size = len(body)
        archive.addfile(entry, io.BytesIO(body))
    return file.getvalue()


def test_file_that_was_kept_is_taken_without_asking_anybody(tmp_path: Path) -> None:
    (tmp_path / "scope-words-1.2.3.tgz").write_bytes(BODY)
    assert fetch(NPM, tmp_path).read_bytes() == BODY


def test_file_with_another_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scope-words-1.2.3.tgz").write_bytes(b"something else")
    with pytest.raises(FailedError, match=f"is not npm @scope/words@1.2.3: expected SHA-256 {NPM.sha256}"):
        fetch(NPM, tmp_path)


def test_package_without_a_wheels_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match=r"'words-1\.2\.tar\.gz' is no wheel's file name"):
        fetch(Package("pypi", "words", "1.2", "0" * 64, "words-1.2.tar.gz"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_members_are_read_by_name(tmp_path: Path) -> None:
    archive, wheel = tmp_path / "a.tgz", tmp_path / "a.whl"
    archive.write_bytes(tgz("package/data.csv", b"1,2"))
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("words/data.csv", b"3,4")
    assert read_member(archive, "package/data.csv") == b"1,2"
    assert read_member(wheel, "words/data.csv") == b"3,4"
    for path in (archive, wheel):
        with pytest.raises(FailedError, match=f"{path.name} holds no file other.csv"):
            read_member(path, "other.csv")


@pytest.mark.parametrize("name", ["a.tgz", "a.whl"])
def test_broken_package_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not an archive")
    with pytest.raises(FailedError, match=f"{name} cannot be read"):
        read_member(tmp_path / name, "x")


def test_names_of_a_wheels_files_are_sorted_and_folders_left_out(tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name in ("words/b.csv", "words/", "words/a.csv"):
            file.writestr(name, b"")
    assert member_names(wheel) == ["words/a.csv", "words/b.csv"]
    wheel.write_bytes(b"not an archive")
    with pytest.raises(FailedError, match=r"a\.whl cannot be read"):
        member_names(wheel)
