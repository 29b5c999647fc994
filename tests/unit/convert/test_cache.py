"""What is kept of conversions: under which key, and whether whatever is read back is whole."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hotplate.manifest.schema import Golden, OutputParity, Parity
from hotplate_tools.convert import cache
from hotplate_tools.convert.cache import Conversion, find, keep, key_of
from hotplate_tools.convert.kinds import KINDS, Converter

KEY = "0" * 64
OUTPUTS = {"scores": OutputParity(max_abs=1e-6, max_rel=1e-7)}
MADE = Conversion(
    Parity("sklearn 1.9", 12, 1e-4, OUTPUTS, ("batch 1",), made_up=True),
    Golden(1, 1e-3, 1e-5),
    b'{"inputs":{}}\n',
    {"scores": ("yes", "no")},
)


@pytest.fixture(autouse=True)
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOTPLATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "conversions" / f"{KEY}.zip"


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "made.onnx").write_bytes(b"a graph" * 100)
    return tmp_path / "made.onnx"


def test_what_is_kept_is_found_as_it_was(tmp_path: Path, graph: Path) -> None:
    assert find(KEY, tmp_path / "got.onnx") is None
    keep(KEY, graph, MADE)
    assert find(KEY, tmp_path / "got.onnx") == MADE
    assert (tmp_path / "got.onnx").read_bytes() == graph.read_bytes()
    assert find("1" * 64, tmp_path / "got.onnx") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_damaged_entry_is_as_good_as_none_and_is_replaced(
    tmp_path: Path, graph: Path, entry: Path, damage: str
) -> None:
    keep(KEY, graph, MADE)
    whole = entry.read_bytes()
    at = whole.index(b"a graph") + 3
    entry.write_bytes(
        {
            "cut": whole[:-40],
            "flipped": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
            "empty": b"",
            "other": whole.replace(b"golden.jsonl", b"g0lden.jsonl"),
        }[damage]
    )
    assert find(KEY, tmp_path / "got.onnx") is None
    assert not (tmp_path / "got.onnx").exists()
    keep(KEY, graph, MADE)
    assert find(KEY, tmp_path / "got.onnx") == MADE


def test_publishers_at_once_always_find_a_whole_entry(tmp_path: Path, graph: Path, entry: Path) -> None:
    keep(KEY, graph, MADE)

    def work(number: int) -> Conversion | None:
        keep(KEY, graph, MADE)
        return find(KEY, tmp_path / f"{number}.onnx")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(64))) == [MADE] * 64
    assert list(entry.parent.iterdir()) == [entry]


def test_what_nobody_asks_for_is_removed(tmp_path: Path, graph: Path, entry: Path) -> None:
    keep(KEY, graph, MADE)
    keep("1" * 64, graph, MADE)
    long_ago = entry.stat().st_mtime - cache.MAX_AGE_S - 10
    for file in entry.parent.iterdir():
        os.utime(file, (long_ago, long_ago))
    assert find(KEY, tmp_path / "got.onnx") == MADE  # asked for just now
    keep("2" * 64, graph, MADE)
    assert {file.name[0] for file in entry.parent.iterdir()} == {"0", "2"}


def _key(source: Path, rows: Path | None = None, kind: str = "skops", **more: Any) -> str | None:
    converter = KINDS[kind]
    assert isinstance(converter, Converter)
    job = {"kind": kind, "inputs": more.get("inputs")}
    return key_of(source, rows, converter, job, tolerance=more.get("tolerance", 1e-4))


def test_key_is_another_when_anything_that_goes_in_is(tmp_path: Path) -> None:
    model, other, rows = tmp_path / "m.skops", tmp_path / "o.skops", tmp_path / "rows.npz"
    model.write_bytes(b"one")
    other.write_bytes(b"two")
    rows.write_bytes(b"rows")
    saved = tmp_path / "saved"
    (saved / "variables").mkdir(parents=True)
    (saved / "variables" / "v").write_bytes(b"1")
    keys = [
        _key(model),
        _key(other),
        _key(model, rows),
        _key(model, tolerance=1e-3),
        _key(model, inputs=[{"name": "x"}]),
        _key(model, kind="keras"),
        _key(model, kind="pickle"),
        _key(saved, kind="savedmodel"),
    ]
    (saved / "variables" / "v").write_bytes(b"2")
    keys.append(_key(saved, kind="savedmodel"))
    rows.write_bytes(b"other rows")
    keys.append(_key(model, rows))
    assert None not in keys
    assert len(set(keys)) == len(keys)
    (tmp_path / "same.skops").write_bytes(b"one")
    assert _key(tmp_path / "same.skops") == keys[0]


def test_what_is_not_told_by_bytes_has_no_key(tmp_path: Path) -> None:
    assert _key(Path("package.module:factory"), kind="torch") is None
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "variables").symlink_to(tmp_path)
    assert _key(tmp_path / "saved", kind="savedmodel") is None
