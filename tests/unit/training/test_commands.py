"""The table of what an endpoint answered, and how the commands end when it is not there."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest

from hotplate.protocol.types import Tensor
from hotplate_tools.cli import cli
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.infer import Answer, infer
from hotplate_tools.training.footprint import Footprint
from hotplate_tools.training.served import Evaluated
from hotplate_tools.training.tables import evaluated_table, footprint_table, tables_of, write_tables

SEEN = Evaluated(
    name="spam",
    task="text-classification",
    version="0123456789ab",
    metrics={"accuracy": 0.98, "other": 0.1},
    bars={"accuracy": 0.97},
    size=740_000,
    cold_ms=455.4,
    warm_ms=2.98,
    waited_ms=5.1,
)


def test_table_holds_each_metric_against_its_bar() -> None:
    under = replace(SEEN, name="co2", metrics={"accuracy": 0.9}, size=2_000, cold_ms=None)
    assert evaluated_table([SEEN, under]).splitlines()[2:] == [
        "| `spam` | text-classification | accuracy 0.98 (bar 0.97) | 0.74 MB | 455 ms | 2.98 ms |",
        "| `co2` | text-classification | accuracy 0.9 (bar 0.97, under it) | 2 kB | was warm | 2.98 ms |",
    ]
    assert (SEEN.under, under.under) == ([], ["accuracy"])


PAGE = """# Models
<!-- models: by hotplate evaluate --write -->
| old |
<!-- end of models -->
after
"""


def test_table_of_footprints_has_a_line_a_function() -> None:
    seen = Footprint("spam", 120_000, 123_456_789, 151.4, 160.6, 1769)
    assert footprint_table([seen]).splitlines()[2:] == [
        "| `spam` | 0.12 MB | 123.46 MB | 151 MB | 161 MB | 1,769 MB |"
    ]


def test_table_is_put_between_its_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert tables_of(page) == ["models"]
    assert write_tables(page, {"models": r"| new \1 |", "footprints": "| not here |"})
    assert page.read_text() == PAGE.replace("| old |", r"| new \1 |")
    assert not write_tables(page, {"models": r"| new \1 |"})
    assert [file.name for file in tmp_path.iterdir()] == ["page.md"]


@pytest.mark.parametrize(
    "text", ["", PAGE.replace("<!-- end of models -->", ""), PAGE + PAGE], ids=["none", "no end", "twice"]
)
def test_page_without_one_pair_of_marks_is_refused(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(RefusedError, match=r"mark"):
        tables_of(page)


def test_written_tables_are_of_all_models(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(click.UsageError, match="give no names"):
        cli.main(["evaluate", "spam", "--url", "http://x", "--write", str(page)], standalone_mode=False)


def test_endpoint_that_is_not_there_is_a_failure_with_advice() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(FailedError, match=f"http://127.0.0.1:{port} does not answer") as failed:
        infer(f"http://127.0.0.1:{port}", "spam", [Tensor("x", "FP32", np.zeros(1, np.float32))])
    assert "hotplate up" in failed.value.advice


@pytest.mark.parametrize("arguments", [["train"], ["train", "spam", "--missing"]], ids=["neither", "both"])
def test_train_wants_names_or_missing(arguments: list[str]) -> None:
    with pytest.raises(click.UsageError, match="give the names of models, or --missing"):
        cli.main(arguments, standalone_mode=False)


def test_training_what_does_not_come_with_the_project_is_refused() -> None:
    with pytest.raises(RefusedError, match="no model 'no-such'"):
        cli.main(["train", "no-such"], standalone_mode=False)


@pytest.mark.parametrize(
    ("timings", "cold"),
    [
        ({"total": 0.9}, {}),
        ({"runtime": 200.0, "wait": 3.0, "total": 0.9}, {"runtime": 200.0, "wait": 3.0}),
        ({"fetch": 9.0, "total": 0.9}, {"fetch": 9.0}),
    ],
    ids=["warm", "fetched beside the imports", "fetched"],
)
def test_first_answer_is_cold_by_its_phases_whichever_they_are(
    timings: dict[str, float], cold: dict[str, float]
) -> None:
    assert Answer({}, "v", timings, 1.0).cold_ms == cold
