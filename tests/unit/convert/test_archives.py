"""Archives that are no model but a bomb, a riddle or a way out of the folder: refused, nothing unpacked."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hotplate_tools.convert import archives
from hotplate_tools.convert.archives import archive_names
from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.convert.rows import read_rows
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.commands import publish
from hotplate_tools.publish.pipeline import describe

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
KERAS = {"config.json": b"{}", "metadata.json": b"{}"}


@pytest.fixture(autouse=True)
def little_for_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small bombs do as well as large ones."""
    monkeypatch.setattr(archives, "FREE_BYTES", 2**20)


def packed(members: dict[str, bytes], compression: int = DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return stream.getvalue()


def zeros(megabytes: int) -> bytes:
    """Return an archive of a thousandth of what it unpacks to, without ever holding that."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", DEFLATED) as archive, archive.open("w", "w", force_zip64=True) as file:
        for _ in range(megabytes):
            file.write(bytes(2**20))
    return stream.getvalue()


def patched(archive: bytes, name: str, *, size: int) -> bytes:
    """Return the archive with another unpacked size stated for a member."""
    raw = bytearray(archive)
    at = raw.index(b"PK\x01\x02")
    while raw[at + 46 : at + 46 + len(name)] != name.encode():
        at = raw.index(b"PK\x01\x02", at + 4)
    raw[at + 24 : at + 28] = struct.pack("<L", size)
    return bytes(raw)


def npy(shape: tuple[int, ...], body: bytes) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue() + body


def shared_bytes() -> bytes:
    """Return an archive with a second entry for the bytes of the first."""
    raw = bytearray(packed({"a": b"x" * 10_000}, STORED))
    at = raw.index(b"PK\x01\x02")
    entry, end = bytearray(raw[at : at + 47]), bytearray(raw[at + 47 :])
    entry[46:47] = b"b"
    struct.pack_into("<HHLL", end, 8, 2, 2, 94, at)
    return bytes(raw[: at + 47] + entry + end)


def long_directory() -> bytes:
    """Return the end of an archive that says its directory is 4 GB long."""
    return bytes(100) + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, 2**32 - 2, 0, 0)


def long_directory_64() -> bytes:
    """Return the same in the form for large archives."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2**40, 2**40, 2**45, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 100, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    return bytes(100) + record + locator + end


def encrypted() -> bytes:
    raw = bytearray(packed({"a": b"x"}, STORED))
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


DEEP = packed({"w": packed({"w": packed({"w": b"x"}, STORED)}, STORED)}, STORED)

HOSTILE = {
    "unpacks to far more": (zeros(4), "far more than"),
    "bomb inside": (packed({"data.zip": zeros(4)}, STORED), "far more than"),
    "bomb inside, compressed": (packed({"data.zip": zeros(4)}), "far more than"),
    "too deep": (DEEP, "inside of an archive inside of an archive"),
    "says less than it has": (patched(packed({"w": bytes(10_000)}), "w", size=10), "unpacks to more"),
    "says more than it has": (patched(packed({"w": bytes(10)}), "w", size=10_000), "unpacks to 10$"),
    "says another size, stored": (patched(packed({"w": bytes(10)}, STORED), "w", size=5), "has 10"),
    "shares bytes": (shared_bytes(), "share bytes"),
    "long directory": (long_directory(), "millions of members"),
    "long directory, large form": (long_directory_64(), "millions of members"),
    "encrypted": (encrypted(), "encrypted"),
    "bzip2": (packed({"w": b"x"}, zipfile.ZIP_BZIP2), "another way"),
    "parent folder": (packed({"../w": b"x"}), "unsafe name"),
    "absolute": (packed({"/w": b"x"}), "unsafe name"),
    "backslash": (packed({"a\\w": b"x"}), "unsafe name"),
    "long name": (packed({"w" * 600: b"x"}), "unsafe name"),
    "shape larger than its bytes": (packed({"0.npy": npy((2**40,), bytes(8))}), "needs 4,398,046,511,104"),
    "shape smaller than its bytes": (packed({"0.npy": npy((1,), bytes(8))}, STORED), "needs 4 bytes, 8"),
    "no array": (packed({"0.npy": b"x"}), "no NumPy array"),
    "cut off": (packed({"w": bytes(1000)}, STORED)[:500], "broken archive"),
}


@pytest.mark.parametrize(("archive", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_archive_is_refused_in_little_memory(tmp_path: Path, archive: bytes, words: str) -> None:
    (tmp_path / "m.keras").write_bytes(archive)
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError, match=words):
            archive_names(tmp_path / "m.keras")
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("w", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("w", b"2")
    (tmp_path / "m.pt2").write_bytes(stream.getvalue())
    with pytest.raises(RefusedError, match="same name"):
        archive_names(tmp_path / "m.pt2")


def test_too_many_members_are_refused_those_inside_counted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_ENTRIES", 5)
    inner = packed({str(number): b"" for number in range(3)}, STORED)
    (tmp_path / "a.skops").write_bytes(packed({"x": inner}, STORED))
    assert archive_names(tmp_path / "a.skops") == {"x"}
    (tmp_path / "b.skops").write_bytes(packed({"x": inner, "y": inner}, STORED))
    with pytest.raises(RefusedError, match="more than 5 members"):
        archive_names(tmp_path / "b.skops")


@pytest.mark.parametrize("compression", [STORED, DEFLATED])
def test_honest_archive_is_read(tmp_path: Path, compression: int) -> None:
    weights = np.random.default_rng(0).random(300_000, np.float32)
    stream = io.BytesIO()
    np.save(stream, weights)
    sparse = packed({"data.npy": npy((2,), bytes(8))})
    members = {**KERAS, "model.weights.h5": zlib.compress(weights.tobytes()), "0.npy": stream.getvalue()}
    (tmp_path / "m.keras").write_bytes(packed({**members, "1.npz": sparse, "empty": b""}, compression))
    assert archive_names(tmp_path / "m.keras") == {*members, "1.npz", "empty"}


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("m.keras", {"config.json", "metadata.json"}),
        ("m.skops", {"schema.json"}),
        ("m.pt2", {"m/archive_format"}),
    ],
)
def test_bomb_is_refused_with_code_3_before_a_framework_or_a_registry_is_touched(
    tmp_path: Path, name: str, members: set[str]
) -> None:
    (tmp_path / name).write_bytes(packed({**dict.fromkeys(members, b"{}"), "w": bytes(4 * 2**20)}))
    # A program that would leave a trace, were it started in the framework's place.
    program = tmp_path / "runner.py"
    program.write_text(f"open({str(tmp_path / 'started')!r}, 'w')\n")
    with pytest.raises(RefusedError, match="far more than") as caught:
        describe(tmp_path / name, options=ConvertOptions(program=program))
    assert caught.value.exit_code == 3
    result = CliRunner().invoke(publish, [str(tmp_path / name), "--registry", str(tmp_path / "r")])
    assert isinstance(result.exception, RefusedError)
    assert not (tmp_path / "started").exists()
    assert not (tmp_path / "r").exists()


def test_evaluation_rows_are_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "rows.npz").write_bytes(packed({"x.npy": npy((2**40,), bytes(8))}))
    with pytest.raises(RefusedError, match="needs 4,398,046,511,104"):
        read_rows(tmp_path / "rows.npz", ())
