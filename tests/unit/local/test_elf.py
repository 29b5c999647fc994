"""What is cut from a compiled package, on a file made here and on one that is loaded afterwards."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import csimdjson
import pytest

from hotplate_tools.local.elf import remove_debug_information

LOADED = b"loaded!!"
NAMES = b"\0.debug_info\0.shstrtab\0"


def elf(name: int = 1, *, segment_at_end: bool = False) -> bytes:
    """Header, one segment header, what is loaded, debug information, names, two section headers."""
    head, segment = 64, 56
    loaded = head + segment
    debug = loaded + len(LOADED)
    names = debug + 100
    sections = names + len(NAMES)
    end = sections + 2 * 64
    header = b"\x7fELF\x02\x01" + bytes(26)
    header += struct.pack("<QQIHHHHHH", head, sections, 0, head, segment, 1, 64, 2, 1)
    covered = end if segment_at_end else len(LOADED)
    start = 0 if segment_at_end else loaded
    program = struct.pack("<IIQQQQQQ", 1, 5, start, 0, 0, covered, covered, 8)
    table = struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, debug, 100, 0, 0, 1, 0)
    table += struct.pack("<IIQQQQIIQQ", 13, 3, 0, 0, names, len(NAMES), 0, 0, 1, 0)
    return header + program + LOADED + b"d" * 100 + NAMES + table


def test_file_is_cut_behind_what_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "a.so"
    whole = elf()
    file.write_bytes(whole)
    assert remove_debug_information(file)
    assert file.read_bytes().endswith(LOADED)
    assert file.read_bytes()[:40] == whole[:40]
    assert file.read_bytes()[40:64] == bytes(8) + whole[48:58] + bytes(6)
    assert not remove_debug_information(file)


@pytest.mark.parametrize(
    "body",
    [elf(13), elf(segment_at_end=True), b"", b"\x7fELF", b"!<arch>" * 20, elf()[:300], elf()[:70]],
    ids=["no debug information", "loaded to the end", "empty", "short", "no ELF", "cut", "header alone"],
)
def test_other_files_stay_as_they_are(tmp_path: Path, body: bytes) -> None:
    file = tmp_path / "a.so"
    file.write_bytes(body)
    assert not remove_debug_information(file)
    assert file.read_bytes() == body


def test_real_module_is_smaller_and_still_works(tmp_path: Path) -> None:
    found = Path(csimdjson.__file__)
    file = Path(shutil.copy(found, tmp_path))
    assert remove_debug_information(file)
    assert file.stat().st_size < found.stat().st_size / 2
    program = "import csimdjson; print(csimdjson.__file__, csimdjson.Parser().parse(b'[1, 2]').as_list())"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout == f"{file} [1, 2]\n", done.stderr
