"""The API fuzzed by what it says of itself: schemathesis over its own OpenAPI document.

    python -m tests.support.fuzzing --examples 20 [--url URL]

Schemathesis lives in an environment of its own (requirements/fuzz.txt). Checks that are left out: that a
request which fits the schema is taken, because JSON Schema cannot say that `data` has as many elements as
`shape`; and that another method gets 405, because API Gateway answers 403.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotplate_tools.console import Console
from hotplate_tools.environments import ensure
from hotplate_tools.local.up import local_cloud
from tests.support.http_call import call

if TYPE_CHECKING:
    from collections.abc import Sequence

LEFT_OUT = ("unsupported_method", "missing_required_header", "positive_data_acceptance")
# Longer than API Gateway waits: a hang fails the run. Where text is generated it waits as long as a stream
# may last: 512 tokens take a minute on a machine that has other work.
TIMEOUT_S, STREAM_TIMEOUT_S = 35, 305
# And longer than any model's cold start, in seconds.
WARM_UP_S = 180
# 413 is the answer to a number over its bound too, where it is one of bytes (RFC 9110, 15.5.14).
_CONFIGURATION = f"""\
request-timeout = {TIMEOUT_S}

[checks]
max_response_time = {TIMEOUT_S}

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]

[[operations]]
include-path-regex = "/(completions|generate|generate_stream)$"
request-timeout = {STREAM_TIMEOUT_S}
checks.max_response_time = {STREAM_TIMEOUT_S}
"""
# Requests at once; more would only wait for each other on one machine.
WORKERS = 3


@dataclass(frozen=True)
class Fuzzed:
    """What came of it: how many requests were made, what failed, and the tool's own words."""

    cases: int
    operations: int
    failures: list[dict[str, Any]]
    output: str


def fuzz(
    url: str, *, examples: int, seed: int, paths: str = "", phases: Sequence[str] = ("examples", "fuzzing")
) -> Fuzzed:
    """Fuzz the API at `url`.

    Args:
        url: Of the API, before `/v2`.
        examples: Requests made up for each operation.
        seed: The same seed makes the same requests.
        paths: Regular expression of the paths; all if empty.
        phases: `coverage` tries each bound of each schema.
    """
    program = ensure("fuzz", Console(as_json=True)) / "st"
    _warm_up(url)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "schemathesis.toml").write_text(_CONFIGURATION)
        schema, report = Path(folder, "openapi.json"), Path(folder, "report.json")
        schema.write_bytes(call(url, "GET", "/openapi.json").body)
        command = [
            str(program),
            "run",
            str(schema),
            "--url",
            url,
            "--phases",
            ",".join(phases),
            "--mode",
            "all",
        ]
        command += ["--max-examples", str(examples), "--seed", str(seed), "--workers", str(WORKERS)]
        command += ["--checks", "all", "--exclude-checks", ",".join(LEFT_OUT), "--continue-on-failure"]
        command += ["--no-color", "--report", "json", "--report-json-path", str(report)]
        command += ["--include-path-regex", paths] if paths else []
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert report.exists(), done.stdout + done.stderr
        found = json.loads(report.read_text())
    assert found["complete"], done.stdout
    failures = [*found["failures"], *found["errors"]]
    return Fuzzed(found["test_cases"]["generated"], found["operations"]["tested"], failures, done.stdout)


def _warm_up(url: str) -> None:
    """Wait until every model is loaded: a cold start on a busy machine is no fault of an answer."""
    for model in json.loads(call(url, "GET", "/v1/models").body)["data"]:
        deadline = time.monotonic() + WARM_UP_S
        while (answer := call(url, "GET", f"/v2/models/{model['id']}/ready")).status != 200:
            assert time.monotonic() < deadline, answer.body
            time.sleep(1)


def main() -> None:
    """Fuzz a running API, or one that is started for it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with ExitStack() as stack:
        url = options.url or stack.enter_context(local_cloud(Console())).url
        phases = ("examples", "coverage", "fuzzing")
        found = fuzz(url, examples=options.examples, seed=options.seed, phases=phases)
    sys.stdout.write(found.output)
    sys.stdout.write(
        f"{found.cases} requests to {found.operations} operations, {len(found.failures)} kinds of failure\n"
    )
    sys.exit(bool(found.failures))


if __name__ == "__main__":
    main()
