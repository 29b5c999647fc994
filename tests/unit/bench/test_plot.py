"""What is drawn of first answers, and the option that names the file."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from hotplate_tools.bench.cold import Cold, Start
from hotplate_tools.bench.plot import plot_job
from hotplate_tools.cli import cli

PHASES = {"runtime": 60.0, "imports": 200.0, "wait": 100.0, "session": 40.0}
SEEN = Cold(
    "cnn-100mb",
    600.0,
    102_130_935,
    102_000_000,
    {
        "hotplate": Start([500.0, 510.0, 490.0], {**PHASES, "fetch (beside)": 300.0}),
        "usual": Start([1300.0, 1310.0, 1290.0]),
        "floor": Start([230.0, 231.0, 229.0]),
    },
)


def test_bars_are_medians_and_hotplates_parts_are_its_phases() -> None:
    job = plot_job(SEEN)
    assert [bar["median_ms"] for bar in job["bars"]] == [500.0, 1300.0, 230.0]
    # What ran beside the imports would be counted twice.
    assert [bar["phases_ms"] for bar in job["bars"]] == [PHASES, {}, {}]
    assert job["title"] == "102.1 MB network, S3 at 600 Mbit/s, 3 starts of each by turns"


@pytest.mark.parametrize("file", ["cold.jpg", "no/such/folder/cold.png"])
def test_picture_that_cannot_be_written_is_refused_before_anything_is_measured(file: str) -> None:
    done = CliRunner().invoke(cli, ["bench", "cold", "small", "--plot", file])
    assert done.exit_code == 2
    assert "no .png file" in done.output
