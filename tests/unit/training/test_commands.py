"""The table of what an endpoint answered, and how the commands end when it is not there."""

from __future__ import annotations

import socket
from dataclasses import replace

import click
import numpy as np
import pytest

from hotplate.protocol.types import Tensor
from hotplate_tools.cli import cli
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.infer import infer
from hotplate_tools.training.commands import evaluated_table
from hotplate_tools.training.served import Evaluated

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
