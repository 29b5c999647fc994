"""The README's own commands, run as they are printed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotplate_tools.local.deployed import served_models
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.publish.model_yaml import read_spec
from hotplate_tools.training.evaluation import read_measured
from hotplate_tools.training.stored import is_built, model_folder

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MODELS = (ROOT / "docs/models.md").read_text()
SERVED = served_models(read_yaml(ROOT / "template.yaml"))
PRINTED_PORT = "8080"


def blocks(language: str = "") -> list[str]:
    """Return the README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block_with(text: str, language: str = "") -> str:
    (found,) = [block for block in blocks(language) if text in block]
    return found


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """What `make up` runs, on a free port in place of the one that the README names."""
    recipe = re.search(
        r"^\t@\$\(BIN\)/hotplate up --port (\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert recipe
    assert recipe[1] == PRINTED_PORT
    command = [sys.executable, "-m", "hotplate_tools.cli", "up", "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield str(json.loads(process.stdout.readline())["port"])
    finally:
        process.terminate()
        process.communicate(timeout=60)


def run(command: list[str], block: str, port: str) -> str:
    """Return what a block prints."""
    assert PRINTED_PORT in block
    text = block.replace(PRINTED_PORT, port)
    done = subprocess.run([*command, text], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_answers_as_printed(port: str) -> None:
    printed = json.loads(block_with('"data":[7]'))
    assert json.loads(run(["bash", "-c"], block_with("curl -s"), port)) == printed


def test_python_answers(port: str) -> None:
    shown = run([sys.executable, "-c"], block_with("tritonclient", "python"), port)
    numbers = [float(number) for number in re.findall(r"\d[\d.e+-]*", shown)]
    assert len(numbers) == 10
    assert sum(numbers) == pytest.approx(1, abs=1e-4)


def test_demo_shows_the_digit_the_ledger_and_the_warm_time() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "seven.png shows a 7" in done.stdout
    for phase in ("runtime", "imports", "wait", "session"):
        assert re.search(rf"^    {phase} +[\d.]+ ms$", done.stdout, re.MULTILINE)
    assert re.search(r"warm request +[\d.]+ ms", done.stdout)


def table(page: str, name: str) -> dict[str, list[str]]:
    """Return the cells of a written table by model."""
    begin, end = f"<!-- {name}: by hotplate evaluate --write -->", f"<!-- end of {name} -->"
    rows = page.split(begin)[1].split(end)[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("| `")]
    return {first.strip("`"): rest for first, *rest in cells}


@pytest.mark.parametrize(("page", "name"), [(README, "models"), (MODELS, "models"), (MODELS, "footprints")])
def test_model_tables_hold_the_models_of_the_template(page: str, name: str) -> None:
    assert list(table(page, name)) == [model.name for model in SERVED]


@pytest.mark.parametrize("page", [README, MODELS], ids=["README", "models"])
@pytest.mark.parametrize("model", [model.name for model in SERVED if is_built(model.name)])
def test_model_table_states_the_metrics_of_the_manifest(page: str, model: str) -> None:
    spec = read_spec(model_folder(model) / "model.yaml")
    task, metrics, *_ = table(page, "models")[model]
    assert task == spec.task
    stated = dict(re.findall(r"(\w+) ([\d.]+) \(bar", metrics))
    measured = read_measured(model)
    assert set(stated) == set(measured.bars)
    for name, value in stated.items():
        assert float(value) == pytest.approx(spec.provenance.metrics[name], abs=1e-3)
        assert float(value) >= measured.bars[name]
