"""An archive that many unpack is there once."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

import pytest

from hotplate_tools.local.shared_zips import SharedZips


def archive(path: Path, **files: str) -> str:
    with zipfile.ZipFile(path, "w") as made:
        for name, text in files.items():
            made.writestr(f"python/{name}.py", text)
    return str(path)


def unpack(zips: SharedZips, file: str, into: Path) -> Path:
    into.mkdir()
    with zips.ZipFile(file) as opened:
        opened.extractall(into)
    return into


def test_two_environments_have_the_same_file_and_no_archive_beside_it(tmp_path: Path) -> None:
    zips = SharedZips(tmp_path / "shared")
    made = [
        unpack(zips, archive(tmp_path / f"{name}.zip", a="1", b="2"), tmp_path / name) for name in ("x", "y")
    ]
    assert [(each / "python" / "a.py").read_text() for each in made] == ["1", "1"]
    assert len({(each / "python" / "b.py").stat().st_ino for each in made}) == 1
    assert list(tmp_path.glob("*.zip")) == []


def test_another_archive_is_another_folder(tmp_path: Path) -> None:
    zips = SharedZips(tmp_path / "shared")
    first = unpack(zips, archive(tmp_path / "1.zip", a="1"), tmp_path / "x")
    other = unpack(zips, archive(tmp_path / "2.zip", a="2"), tmp_path / "y")
    assert [(each / "python" / "a.py").read_text() for each in (first, other)] == ["1", "2"]


def test_what_one_environment_leaves_behind_is_still_anothers(tmp_path: Path) -> None:
    zips = SharedZips(tmp_path / "shared")
    gone, there = (
        unpack(zips, archive(tmp_path / f"{name}.zip", a="1"), tmp_path / name) for name in ("x", "y")
    )
    (gone / "python" / "a.py").unlink()
    assert (there / "python" / "a.py").read_text() == "1"


def test_many_at_once_all_get_the_whole(tmp_path: Path) -> None:
    zips = SharedZips(tmp_path / "shared")
    files = {f"m{number}": str(number) for number in range(50)}
    archives = [archive(tmp_path / f"{number}.zip", **files) for number in range(8)]
    together = threading.Barrier(len(archives))

    def work(number: int) -> None:
        together.wait()
        unpack(zips, archives[number], tmp_path / f"e{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(archives))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert all(
        len(list((tmp_path / f"e{number}" / "python").iterdir())) == 50 for number in range(len(archives))
    )


def test_unfinished_folder_of_one_who_was_killed_is_made_anew(tmp_path: Path) -> None:
    zips = SharedZips(tmp_path / "shared")
    file = archive(tmp_path / "1.zip", a="1")
    whole = zips.unpacked(zipfile.ZipFile(file))
    (whole / "python" / "a.py").unlink()
    whole.rename(whole.with_suffix(".begun"))
    assert (unpack(zips, file, tmp_path / "x") / "python" / "a.py").read_text() == "1"


def test_part_of_an_archive_is_nobodys(tmp_path: Path) -> None:
    with (
        SharedZips(tmp_path / "shared").ZipFile(archive(tmp_path / "1.zip", a="1")) as opened,
        pytest.raises(NotImplementedError),
    ):
        opened.extractall(tmp_path, members=["python/a.py"])
