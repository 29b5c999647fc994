import json
import math
from dataclasses import replace
from pathlib import Path

from hotplate_tools.choose.answers import advice, compared_data, compared_text
from hotplate_tools.choose.compare import Compared
from hotplate_tools.choose.plot import plot_job
from hotplate_tools.choose.ranking import Scored, front, picks, ranked
from hotplate_tools.planning.prices import read_prices

BEST = Scored("best", 0.99, 4.0, 9.0, 300, 1769, 1.2, 8.5, 90_000_000, "lambda-zip")
QUICK = Scored("a-name-of-its-own-that-is-quite-long", 0.9, 0.1, 0.2, 60, 1769, 0.6, 5.0, 9000, "lambda-zip")
BROKEN = replace(BEST, name="broken", quality=math.nan)


def compared(*scored: Scored, refused: dict[str, str] | None = None) -> Compared:
    return Compared(
        ranked=tuple(ranked(scored)),
        front=frozenset(one.name for one in front(scored)),
        picks=picks(scored),
        refused=refused or {},
        metric="accuracy",
        outputs={one.name: "y" for one in scored},
        rows_file="rows.npz",
        rows_sha256="a" * 64,
        rows=1872,
        traffic=60.0,
    )


def test_table_marks_the_front_and_cuts_no_name() -> None:
    beaten = replace(BEST, name="beaten", quality=0.5)
    text = compared_text(compared(BEST, QUICK, beaten, refused={"odd": "takes 'z'"}), read_prices(), None)
    marked = {words[1] for line in text.splitlines() if (words := line.split()) and words[0] == "*"}
    assert marked == {BEST.name, QUICK.name}
    assert any(line.split()[0] == "beaten" for line in text.splitlines() if line.strip())
    assert "1,872 rows of rows.npz" in text
    assert "at 60 requests a minute" in text
    assert "odd: takes 'z'" in text


def test_advice_names_each_candidate_once() -> None:
    assert advice(compared(BEST, QUICK)) == (
        "Take best for best quality (accuracy 0.9900); a-name-of-its-own-that-is-quite-long for least money "
        "(5.00 USD a million requests) and for least p95 (0.20 ms)."
    )


def test_advice_recommends_nobody_for_money_that_is_the_same() -> None:
    said = advice(compared(BEST, replace(QUICK, usd=BEST.usd)))
    assert "least money" not in said
    assert said.endswith("; all cost 8.50 USD a million requests.")


def test_json_is_json_also_where_quality_is_no_number() -> None:
    data = compared_data(compared(BEST, BROKEN), read_prices(), Path("p.png"))
    text = json.dumps(data, allow_nan=False)
    (best, broken) = json.loads(text)["ranked"]
    assert (best["name"], best["front"], best["quality"], best["output"]) == ("best", True, 0.99, "y")
    assert (broken["name"], broken["front"], broken["quality"]) == ("broken", False, None)
    assert data["plot"] == "p.png"


def test_what_is_drawn_is_what_was_ranked() -> None:
    job = plot_job(compared(BEST, QUICK, BROKEN))
    assert json.loads(json.dumps(job, allow_nan=False)) == job
    assert job["quality"] == "accuracy"
    assert job["title"] == "1,872 rows of rows.npz"
    assert [point["name"] for point in job["points"]] == ["best", QUICK.name]
    assert job["points"][0] == {
        "name": "best",
        "quality": 0.99,
        "p95_ms": 9.0,
        "usd": 8.5,
        "peak_mb": 300,
        "cold_start_s": 1.2,
        "front": True,
    }
