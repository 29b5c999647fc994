"""Plans of models of different size and shape, word for word, and the rules at their edges.

`HOTPLATE_GOLDEN=write pytest tests/unit/planning` writes the texts anew; review them as code.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hotplate.limits import MAX_BODY_BYTES, MAX_UNZIPPED_BYTES
from hotplate.manifest.schema import Plan
from hotplate_tools.failures import RefusedError
from hotplate_tools.planning.answers import plan_data, plan_text
from hotplate_tools.planning.money import cold_share
from hotplate_tools.planning.prices import read_prices
from hotplate_tools.planning.rules import propose
from hotplate_tools.planning.weights import INLINE_BYTES, choose_form, choose_prepacking
from tests.support.planned_models import MODELS

GOLDEN = Path(__file__).parents[2] / "golden/plan"
PRICES = read_prices()


@pytest.mark.parametrize("name", MODELS)
def test_plan_reads_as_reviewed(name: str) -> None:
    text = plan_text(propose(MODELS[name], PRICES, traffic=30), PRICES) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("HOTPLATE_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_data_says_what_the_text_says() -> None:
    data = plan_data(propose(MODELS["encoder-297mb"], PRICES, traffic=30), PRICES)
    assert data["plan"]["tier"]["value"] == "lambda-image"
    assert data["refused"]["lambda-zip"] == ["297.4 MB unzipped is over 262.1 MB"]
    money = data["money"]
    assert money["usd_per_million_total"] == pytest.approx(sum(money["usd_per_million"].values()), abs=1e-3)
    assert money["usd_per_month"] == pytest.approx(
        money["usd_per_million_total"] * 30 * 43_800 / 1e6, abs=0.01
    )


def test_zip_holds_exactly_what_lambda_says() -> None:
    model = MODELS["tiny-mlp"]
    fits = propose(replace(model, code_bytes=MAX_UNZIPPED_BYTES), PRICES)
    over = propose(replace(model, code_bytes=MAX_UNZIPPED_BYTES + 1), PRICES)
    assert (fits.tier.value, over.tier.value) == ("lambda-zip", "lambda-image")


def test_row_that_no_call_carries_goes_where_payloads_come_from_s3() -> None:
    model = replace(MODELS["cnn-27mb"], request_bytes=MAX_BODY_BYTES + 1)
    assert propose(model, PRICES).tier.value == "sagemaker-async"
    assert propose(model, PRICES, traffic=1e5).tier.value == "sagemaker-realtime"


def test_model_that_nothing_holds_is_refused_with_every_reason() -> None:
    model = replace(MODELS["encoder-11gb"], weights_bytes=10**12)
    with pytest.raises(
        RefusedError, match=r"(?s)lambda-zip.*lambda-image.*sagemaker-async.*largest instance"
    ):
        propose(model, PRICES)


@pytest.mark.parametrize(
    ("plan", "words"),
    [(Plan(tier="lambda-zip"), "297.4 MB unzipped"), (Plan(memory_mb=128), "needs")],
    ids=["tier", "memory"],
)
def test_wish_of_the_owner_that_cannot_work_is_refused(plan: Plan, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        propose(replace(MODELS["encoder-297mb"], plan=plan), PRICES)


def test_wishes_of_the_owner_are_kept() -> None:
    plan = Plan(
        memory_mb=3008, intra_op_threads=2, tier="lambda-image", batch_size=4, init_mode="provisioned"
    )
    found = propose(replace(MODELS["small-cnn"], plan=plan), PRICES)
    assert (found.memory_mb.value, found.threads.value, found.tier.value) == (3008, 2, "lambda-image")
    assert (found.batch_size.value, found.init_mode.value) == (4, "provisioned")


def test_more_memory_never_makes_a_row_slower() -> None:
    figures = propose(MODELS["cnn-27mb"], PRICES).figures
    times = [figures.request_ms(memory) for memory in range(128, 10_241, 64)]
    assert times == sorted(times, reverse=True)


def test_more_traffic_means_a_smaller_share_of_cold_starts() -> None:
    shares = [cold_share(rpm, 50) for rpm in (0.01, 0.1, 1, 10, 100)]
    assert shares == sorted(shares, reverse=True)
    assert all(0 < share <= 1 for share in shares)


def test_four_bit_models_are_always_packed_and_small_ones_are_inline() -> None:
    assert choose_prepacking(frozenset({"MatMulNBits", "MatMul"}), 10**8).value == "parallel"
    assert choose_prepacking(frozenset({"Conv"}), 10**8).value == "on"
    assert (choose_form(INLINE_BYTES).value, choose_form(INLINE_BYTES + 1).value) == ("inline", "borrowed")
