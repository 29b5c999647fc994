"""The warm path on AWS's own runtime: its marshaller, and the bench that times it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hotplate_tools.bench.stage import Stage
from hotplate_tools.bench.times import OURS
from hotplate_tools.bench.warm import bench_warm
from hotplate_tools.console import Console

WHO_MARSHALS = """
from hotplate.wiring import model_function
model_function()
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient

def lambda_handler(event, context):
    return [type(LambdaRuntimeClient.marshaller).__name__, ascii(event)]
"""


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(Console()) as running:
        yield running


def test_functions_events_and_results_go_through_our_marshaller(stage: Stage) -> None:
    with stage.environment(WHO_MARSHALS, None) as environment:
        for event in ({"a": "é\n"}, {"lone": "\ud800"}):
            result = environment.invoke(json.dumps(event).encode())
            assert json.loads(result.payload) == ["OrjsonMarshaller", ascii(event)]


def test_bench_times_requests_whose_answers_are_the_same() -> None:
    seen = bench_warm("small", starts=1, rounds=1, servers=(), console=Console())
    assert set(seen.times) == {"run", *OURS, "usual", "nothing"}
    for name in OURS:
        times = seen.times[name]
        assert len(times.whole) == len(times.outside) == 10
        assert len(times.first) == 1
        # What the handler takes is part of the whole, so a clock that stands still is noticed.
        assert 0 < min(times.outside) < min(times.whole)
