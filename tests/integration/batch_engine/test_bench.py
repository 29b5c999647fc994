from __future__ import annotations

import json

from click.testing import CliRunner

from hotplate_tools.cli import cli


def test_bench_of_few_rows_compares_the_answers_of_each_format() -> None:
    done = CliRunner().invoke(cli, ["bench", "batch", "--rows", "3000", "--rounds", "1", "--json"])
    assert done.exit_code in (0, 1)  # of three thousand rows nothing is to be proved about speed
    seen = json.loads(done.stdout)
    assert (seen["rows"], seen["differing_together"]) == (3000, 0)
    assert set(seen["engines"]) == {"parquet", "csv", "jsonl"}
    assert all(each["rows_per_s"] > 0 and each["ratio"] > 0 for each in seen["engines"].values())
