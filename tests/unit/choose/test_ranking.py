import math
from dataclasses import replace

import pytest

from hotplate_tools.choose.ranking import Scored, beats, front, picks, ranked

PLAIN = Scored("plain", 0.9, 1.0, 2.0, 60, 1769, 0.6, 5.0, 1000, "lambda-zip")


def one(name: str, quality: float = 0.9, p95: float = 2.0, usd: float = 5.0) -> Scored:
    return replace(PLAIN, name=name, quality=quality, p95_ms=p95, usd=usd)


def names(found: list[Scored]) -> list[str]:
    return [each.name for each in found]


@pytest.mark.parametrize(
    ("better", "does"),
    [
        ({"quality": 0.95}, True),
        ({"p95": 1.0}, True),
        ({"usd": 4.0}, True),
        ({}, False),
        ({"quality": 0.95, "usd": 5.01}, False),
        ({"p95": 2.01}, False),
    ],
)
def test_beating_takes_all_at_least_as_good_and_one_better(better: dict[str, float], does: bool) -> None:
    assert beats(one("a", **better), one("b")) is does


def test_front_holds_what_is_best_at_something() -> None:
    found = [
        one("slow-and-right", 0.99, 9.0, 6.0),
        one("quick", 0.80, 0.1, 5.0),
        one("beaten", 0.80, 0.2, 5.0),
        one("cheap", 0.70, 3.0, 4.0),
        one("beaten-by-the-first", 0.98, 9.0, 6.0),
    ]
    assert names(front(found)) == ["slow-and-right", "quick", "cheap"]
    assert names(ranked(found)) == ["slow-and-right", "quick", "cheap", "beaten-by-the-first", "beaten"]
    assert {aim: each.name for aim, each in picks(found).items()} == {
        "quality": "slow-and-right",
        "money": "cheap",
        "p95": "quick",
    }


def test_memory_and_cold_start_keep_nobody_on_the_front() -> None:
    small = replace(one("small", 0.8), peak_mb=1, memory_mb=128, cold_start_s=0.1, bytes=1)
    assert names(front([one("a"), small])) == ["a"]


def test_of_equals_none_beats_another() -> None:
    found = [one("b"), one("a"), one("c")]
    assert names(front(found)) == ["b", "a", "c"]
    assert names(ranked(found)) == ["a", "b", "c"]
    assert {each.name for each in picks(found).values()} == {"a"}


def test_ties_in_one_figure_are_decided_by_the_others() -> None:
    found = [one("slower", p95=3.0), one("quicker", p95=2.0)]
    assert names(front(found)) == ["quicker"]
    assert picks(found)["money"].name == "quicker"


def test_one_candidate_is_the_front_and_every_pick() -> None:
    assert names(front([PLAIN])) == names(ranked([PLAIN])) == ["plain"]
    assert set(picks([PLAIN]).values()) == {PLAIN}


def test_no_number_is_worse_than_any_number() -> None:
    broken = one("broken", math.nan, p95=0.01, usd=0.01)
    found = [broken, one("bad", -3.0), one("good", 0.9, p95=9.0)]
    assert names(front(found)) == ["bad", "good"]
    assert names(ranked(found)) == ["good", "bad", "broken"]
    assert broken not in picks(found).values()


def test_where_no_quality_is_a_number_the_rest_decides() -> None:
    found = [one("slow", math.nan, p95=3.0), one("quick", math.nan, p95=1.0)]
    assert names(front(found)) == ["quick"]
    assert names(ranked(found)) == ["quick", "slow"]
    assert picks(found)["quality"].name == "quick"
