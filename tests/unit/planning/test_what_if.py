"""Where SageMaker gets cheaper than Lambda: word for word for models of some kinds, and by the formula.

`HOTPLATE_GOLDEN=write pytest tests/unit/planning` writes the texts anew; review them as code.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hotplate.manifest.schema import Plan
from hotplate_tools.planning.estimates import HANDLER_MS
from hotplate_tools.planning.prices import Instance, read_prices
from hotplate_tools.planning.records import Description
from hotplate_tools.planning.rules import propose
from hotplate_tools.planning.whatif import FRONT_MB, FRONT_MS, LOAD_SHARE, what_if
from hotplate_tools.planning.whatif_answers import what_if_data, what_if_job, what_if_text
from tests.support.planned_models import CODE, MODELS, measured

GOLDEN = Path(__file__).parents[2] / "golden/what_if"
PRICES = read_prices()
# A network of 102 MB as the project's bench has it: 98 ms a row.
RESNET = Description(
    "cnn-102mb", "999999999999", 80_000, 102_000_000, 0, frozenset({"Conv"}), 602_112, 4_000, True, CODE,
    Plan(weight_form="borrowed"), measured("borrowed", "on", 102_080_000, (91, 110, 98, 320), 98.0, 790),
)  # fmt: skip
ALL = {**MODELS, "cnn-102mb": RESNET}
CASES = {
    "tiny-mlp": ("tiny-mlp", None, None),
    "cnn-102mb": ("cnn-102mb", None, None),
    "cnn-102mb-gpu": ("cnn-102mb", 1.2, 2_000),
    "encoder-11gb": ("encoder-11gb", 40.0, None),
}


@pytest.mark.parametrize("case", CASES)
def test_what_if_reads_as_reviewed(case: str) -> None:
    name, gpu_ms, traffic = CASES[case]
    proposal = propose(ALL[name], PRICES, traffic=traffic)
    text = what_if_text(what_if(proposal, PRICES, gpu_ms=gpu_ms), proposal).strip("\n") + "\n"
    golden = GOLDEN / f"{case}.txt"
    if os.environ.get("HOTPLATE_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_page_shows_what_the_command_prints() -> None:
    page = (Path(__file__).parents[3] / "docs/24-placement.md").read_text()
    assert (GOLDEN / "cnn-102mb-gpu.txt").read_text() in page


def test_crossing_is_where_both_cost_the_same_and_what_the_formula_says() -> None:
    proposal = propose(RESNET, PRICES)
    found = what_if(proposal, PRICES, gpu_ms=1.2)
    (gpu,) = [each for each in found.others if each.is_measured_gpu and each.tier == "sagemaker-realtime"]
    assert gpu.crossing is not None
    assert gpu.usd(gpu.crossing) == pytest.approx(found.on_lambda.usd(gpu.crossing), rel=1e-9)
    assert gpu.usd(gpu.crossing * 0.99) > found.on_lambda.usd(gpu.crossing * 0.99)
    # By hand, without cold starts, which are some thousandths of it: hour / (Lambda's second - the front's).
    rate, memory_mb = PRICES.lambda_.gb_second["x86_64"], proposal.memory_mb.value
    ours = memory_mb / 1024 * rate * math.ceil(proposal.request_ms) / 1000
    front = FRONT_MB / 1024 * rate * (HANDLER_MS + 1.2 + FRONT_MS) / 1000
    assert gpu.crossing == pytest.approx(1.41 / (ours - front), rel=0.01)


def test_instances_come_whole_so_the_second_may_be_dearer_again() -> None:
    proposal = propose(MODELS["encoder-11gb"], PRICES)
    cpu = what_if(proposal, PRICES).others[0]
    capacity = LOAD_SHARE * 3_600_000 / cpu.wait_ms
    assert cpu.capacity == pytest.approx(capacity)
    (first, end), (second, _), *_ = cpu.cheaper
    assert first < end == capacity < second < 2 * capacity
    assert cpu.always is not None
    assert cpu.always > second
    assert cpu.usd(capacity * 1.001) - cpu.usd(capacity) == pytest.approx(0.27, abs=0.01)


def test_sleeping_endpoint_costs_nothing_unasked_and_a_waking_for_a_lonely_request() -> None:
    sleeping = [each for each in what_if(propose(RESNET, PRICES), PRICES).others if "async" in each.tier]
    for each, hour in zip(sleeping, (0.27, 1.41), strict=True):
        assert each.usd(1e-9) == pytest.approx(0, abs=1e-6)
        assert each.usd(0.01) / 0.01 == pytest.approx(hour * 15 / 60, rel=0.01)
        assert each.usd(60) == pytest.approx(hour, rel=0.01)


def test_what_cannot_hold_the_model_says_so() -> None:
    found = what_if(propose(MODELS["encoder-11gb"], PRICES), PRICES)
    assert found.on_lambda.against == ("11,392 MB of memory is over 10,240 MB",)
    small = Instance(instance="ml.small", hour=0.1, memory_mb=4096, vcpus=2)
    prices = PRICES.model_copy(update={"sagemaker": (small, *PRICES.sagemaker)})
    on_small = what_if(propose(MODELS["encoder-11gb"], prices), prices).others[0]
    assert on_small.against == ("11,392 MB of memory is over the 3,072 MB of it",)
    slow = replace(RESNET, request_bytes=7_000_000)
    realtime = what_if(propose(slow, PRICES), PRICES).others[0]
    assert realtime.against == ("one row of 7.0 MB is over 6.3 MB",)


def test_data_has_what_the_text_and_the_picture_have() -> None:
    proposal = propose(RESNET, PRICES, traffic=2_000)
    found = what_if(proposal, PRICES, gpu_ms=1.2)
    data = what_if_data(found, proposal, PRICES)
    assert [each["instance"] for each in data["ways"]] == [None, *2 * ["ml.m5.xlarge"], *2 * ["ml.g5.xlarge"]]
    gpu = data["ways"][3]
    assert gpu["cheaper_from_rph"] == round(found.others[2].crossing or 0, 1)
    assert gpu["cheaper"][-1][1] is None
    assert data["traffic_rph"] == 120_000
    assert gpu["usd_per_hour_at_traffic"] == round(found.others[2].usd(120_000), 6)
    job = what_if_job(found, proposal, PRICES)
    assert job["lines"][0]["name"] == "lambda-zip"
    assert all(len(line["usd"]) == len(job["across"]) for line in job["lines"])
    assert job["across"][-1] > found.others[2].crossing
