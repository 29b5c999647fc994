"""The benches print what they measured, and say so when it is over a bar."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from hotplate_tools.bench.commands import bench
from hotplate_tools.bench.memory import BAR_BASE_MB, Held, Memory, memory_data, memory_text
from hotplate_tools.bench.steady import Steady, steady_data, steady_text


def test_memory_of_a_small_model_in_one_process_and_in_four() -> None:
    done = CliRunner().invoke(bench, ["memory", "small", "--rounds", "1", "--json"])
    assert done.exit_code == 0, done.output
    seen = json.loads(done.stdout)
    held = seen["held_mb"]
    assert seen["is_within"]
    assert set(held) == {"hotplate", "usual", "hotplate, 4 processes", "usual, 4 processes"}
    for each in held.values():
        assert 20 < each["loaded"] <= each["steady"] * 1.1
    # boto3 and what it brings are the usual handler's alone.
    assert held["hotplate"]["loaded"] < held["usual"]["loaded"]
    # Of a small model little can be shared but the libraries' code.
    assert held["hotplate, 4 processes"]["loaded"] < 4.4 * held["hotplate"]["loaded"]


@pytest.mark.parametrize(("loaded", "within"), [(200.0, True), (210.0, False)])
def test_memory_over_the_bar_is_named(loaded: float, within: bool) -> None:
    seen = Memory("m", 100.0, two_stages=True, held={"hotplate": Held([loaded], [300.0], [310.0])})
    assert seen.bar_mb == pytest.approx(115 + BAR_BASE_MB)
    assert memory_data(seen)["is_within"] is within
    assert ("within 1.15" if within else "OVER 1.15") in memory_text(seen)


def test_steady_compares_rounds_and_not_their_sums() -> None:
    # A round that a busy machine made slow is slow for both.
    seen = Steady([10.0, 99.0, 10.2], [10.0, 100.0, 10.0], 0.0)
    assert seen.ratio == pytest.approx(1.0)
    assert steady_data(seen)["is_within"]
    slow = Steady([11.0], [10.0], 0.0)
    assert not steady_data(slow)["is_within"]
    assert "OVER 1.03" in steady_text(slow)
