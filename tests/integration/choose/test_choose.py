"""Candidates of known quality from files, a registry and the project, ranked on rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.choose.candidates import Given
from hotplate_tools.choose.commands import choose
from hotplate_tools.choose.compare import Compared, Wanted, compare
from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.pipeline import publish_model
from tests.support.tiny_models import affine, info, model_of, write_onnx

DIGITS = Path(__file__).parents[3] / "scripts/hotplate_tools/models/digits"
ROWS = 60  # a third of each class; so few that none is kept from measuring


def scaled(name: str, *factors: float) -> onnx.ModelProto:
    """Return y = factors·x over FP32 `name` [n, len(factors)]."""
    scale = helper.make_tensor("factors", TensorProto.FLOAT, [len(factors)], factors)
    node = helper.make_node("Mul", [name, "factors"], ["y"])
    shape: tuple[str, int] = ("n", len(factors))
    return model_of([node], [info(name, shape)], [info("y", shape)], initializers=[scale])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("choose")
    classes = np.arange(ROWS) % 3
    x = np.random.default_rng(0).uniform(0.1, 0.4, (ROWS, 3)).astype(np.float32)
    x[np.arange(ROWS), classes] = 1
    np.savez(home / "rows.npz", x=x, flipped=x[:, ::-1], expected_y=classes, expected_other=classes)
    write_onnx(home / "right.onnx", affine(2.0))
    write_onnx(home / "wrong.onnx", affine(-1.0))
    write_onnx(home / "blind.onnx", scaled("x", 1, 1, 0))
    write_onnx(home / "narrow.onnx", scaled("x", 1, 1))
    write_onnx(home / "other.onnx", scaled("z", 1, 1, 1))
    write_onnx(home / "flipped.onnx", scaled("flipped", 1, 1, 1))
    return home


def wanted(rows: Path, *given: Given, **more: object) -> Wanted:
    return Wanted(given, rows, ConvertOptions(), **more)  # type: ignore[arg-type]


def path(file: Path, name: str | None = None) -> Given:
    return Given(str(file) if name is None else f"{name}={file}", "path", file, name)


@pytest.fixture(scope="module")
def ranking(folder: Path) -> Compared:
    files = [folder / f"{name}.onnx" for name in ("wrong", "narrow", "right", "other", "blind", "flipped")]
    return compare(wanted(folder / "rows.npz", *map(path, files)), Console(), repeats=1)


def test_quality_is_what_the_models_are_known_to_have(ranking: Compared) -> None:
    # `flipped` takes the same rows with their columns reversed, so only the middle class is right.
    assert {one.name: one.quality for one in ranking.ranked} == {
        "right": 1.0,
        "blind": 0.6667,
        "flipped": 0.3333,
        "wrong": 0.0,
    }
    assert (ranking.metric, ranking.rows) == ("accuracy", ROWS)
    assert ranking.picks["quality"].name == "right"
    assert "right" in ranking.front


def test_those_that_do_not_take_the_rows_are_refused_with_the_reason(ranking: Compared, folder: Path) -> None:
    assert set(ranking.refused) == {str(folder / "narrow.onnx"), str(folder / "other.onnx")}
    assert "[60, 3], the graph takes [-1, 2]" in ranking.refused[str(folder / "narrow.onnx")]
    assert "takes 'z' FP32 [-1, 3]; the rows hold" in ranking.refused[str(folder / "other.onnx")]


def test_every_figure_was_taken(ranking: Compared) -> None:
    for one in ranking.ranked:
        assert 0 <= one.p50_ms <= one.p95_ms < 1000
        assert 20 < one.peak_mb < one.memory_mb
        assert 0.5 < one.cold_start_s < 10
        assert one.usd > 3  # API Gateway alone
        assert one.bytes > 0
        assert one.tier == "lambda-zip"


def test_json_holds_one_document(folder: Path) -> None:
    arguments = [str(folder / "right.onnx"), f"left={folder / 'wrong.onnx'}", str(folder / "narrow.onnx")]
    more = ["--rows", str(folder / "rows.npz"), "--traffic", "60", "--json"]
    result = CliRunner().invoke(choose, arguments + more)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert [(one["name"], one["quality"]) for one in data["ranked"]] == [("right", 1.0), ("left", 0.0)] or (
        # On one machine the wrong one may be the quicker; then both are on the front, by quality.
        {one["name"] for one in data["ranked"]} == {"right", "left"} and data["ranked"][0]["name"] == "right"
    )
    assert [one["name"] for one in data["refused"]] == [str(folder / "narrow.onnx")]
    assert data["picks"]["quality"] == "right"
    assert data["traffic_rpm"] == 60
    assert data["plot"] is None
    assert "flipped" in result.stderr  # said to be taken by no candidate


def test_a_version_of_a_registry_is_a_candidate(folder: Path, tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    publish_model(folder / "blind.onnx", name="right", store=store, console=Console())
    given = (Given("right", "registry"), path(folder / "right.onnx"), Given("absent", "registry"))
    found = compare(wanted(folder / "rows.npz", *given, store=store), Console(), repeats=1)
    # Two of one name are called what the user called them.
    assert {one.name: one.quality for one in found.ranked} == {
        "right": 0.6667,
        str(folder / "right.onnx"): 1.0,
    }
    assert "absent has no alias 'live'" in found.refused["absent"]


def test_golden_rows_are_answered_through_the_functions_own_steps() -> None:
    rows = DIGITS / "golden.jsonl"
    found = compare(wanted(rows, Given("digits", "project"), output="digit"), Console(), repeats=1)
    # The graph has no output `digit`: postprocessing gives it.
    assert (found.ranked[0].quality, found.outputs) == (1.0, {"digits": "digit"})
    with pytest.raises(RefusedError, match="probabilities, digit: say --output"):
        compare(wanted(rows, Given("digits", "project")), Console(), repeats=1)


def test_rows_without_answers_rank_nobody(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", x=np.ones((3, 3), np.float32))
    with pytest.raises(RefusedError, match="no expected answers to rank by"):
        compare(wanted(tmp_path / "bare.npz", path(folder / "right.onnx")), Console())
    np.savez(tmp_path / "far.npz", x=np.ones((3, 3), np.float32), expected_other=np.arange(3))
    with pytest.raises(RefusedError, match=r"no candidate can be compared:\n.*no expected answers for y"):
        compare(wanted(tmp_path / "far.npz", path(folder / "right.onnx")), Console())


def test_candidates_are_not_compared_by_different_metrics(folder: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((8, 3), np.float32)
    np.savez(tmp_path / "r.npz", x=x, expected_y=np.arange(8) % 3, expected_w=x)
    node = helper.make_node("Identity", ["x"], ["w"])
    other = model_of([node], [info("x", ["n", 3])], [info("w", ["n", 3])])
    write_onnx(tmp_path / "numbers.onnx", other)
    given = (path(folder / "right.onnx"), path(tmp_path / "numbers.onnx"))
    with pytest.raises(RefusedError, match="not one metric: right by accuracy of 'y', numbers by r2 of 'w'"):
        compare(wanted(tmp_path / "r.npz", *given), Console())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["digits"], "give --rows"),
        (["--rows", "ROWS"], "give MODELs, or --task"),
        (["--rows", "ROWS", "--task", "nothing"], "has task 'nothing'"),
        (["--rows", "ROWS", "no-such-model"], "no path, no model that comes with the project"),
        (["--rows", "ROWS", "digits", "digits"], "given twice: digits"),
        (["--rows", "ROWS", "digits", "--plot", "p.jpg"], "no .png file"),
    ],
)
def test_usage(arguments: list[str], said: str, folder: Path) -> None:
    words = [str(folder / "rows.npz") if word == "ROWS" else word for word in arguments]
    result = CliRunner().invoke(choose, words, env={"HOTPLATE_BUCKET": None})
    assert result.exit_code == 2
    assert said in result.output
