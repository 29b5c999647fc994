"""`hotplate new` in a copy of the project: what it writes is valid, tested, and serves."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hotplate_tools.failures import RefusedError
from hotplate_tools.local.intrinsics import parse_yaml, read_yaml
from hotplate_tools.local.isolation import defined_routes, isolation_faults
from hotplate_tools.new.isolation import with_isolation
from hotplate_tools.new.project import plan_model, write_model
from hotplate_tools.project import project_root
from hotplate_tools.publish.pipeline import describe
from tests.support.tiny_models import affine, write_folder, write_onnx

KEPT = ("functions", "layers", "requirements", "scripts", "tests")
UNUSED = shutil.ignore_patterns("__pycache__", ".*", "e2e", "harness")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project."""
    root = project_root()
    copy = tmp_path / "project"
    for name in KEPT:
        shutil.copytree(root / name, copy / name, ignore=UNUSED)
    for name in ("template.yaml", "pyproject.toml"):
        shutil.copy(root / name, copy / name)
    return copy


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folders = ("layers/serving/python", "scripts", ".")
    path = os.pathsep.join(str(project / folder) for folder in folders)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_new_model_passes_lint_its_own_test_and_every_check_of_the_template(project: Path) -> None:
    made = run(project, "-m", "hotplate_tools.cli", "new", "churn-risk.v2")
    assert made.returncode == 0, made.stderr
    assert "hotplate publish scripts/hotplate_tools/models/churn_risk_v2" in made.stdout
    # Includes cfn-lint and `sam validate`, routes, roles, and that the pins are those of the starter.
    tests = ["tests/integration/test_churn_risk_v2.py", "tests/integration/test_template.py"]
    tested = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert tested.returncode == 0, tested.stdout
    imported = run(
        project, "-c", "from functions.churn_risk_v2.model import preprocess; print(preprocess({}))"
    )
    assert imported.stdout == "{}\n"


def test_new_python_model_has_a_layer_without_onnx_runtime_and_passes_its_own_test(project: Path) -> None:
    made = run(project, "-m", "hotplate_tools.cli", "new", "churn-risk.v2", "--python")
    assert made.returncode == 0, made.stderr
    assert "put your code into functions/churn_risk_v2/model.py" in made.stdout
    tested = run(
        project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/integration/test_churn_risk_v2.py"
    )
    assert tested.returncode == 0, tested.stdout
    resources = read_yaml(project / "template.yaml")["Resources"]
    assert resources["ChurnRiskV2Function"]["Properties"]["Layers"] == [{"Ref": "CodecsLayer"}]
    linted = run(project, "-m", "hotplate_tools.cli", "check-template")
    assert linted.returncode == 0, linted.stdout + linted.stderr
    for tool in (["ruff", "format", "--check"], ["ruff", "check"]):
        checked = run(project, "-m", *tool, "functions/churn_risk_v2")
        assert checked.returncode == 0, checked.stdout


def test_graph_and_python_stand_side_by_side_whichever_was_first(project: Path) -> None:
    write_model(project, plan_model(project, "price", None, python=True))
    write_model(project, plan_model(project, "churn", None))
    resources = read_yaml(project / "template.yaml")["Resources"]
    layers = {
        name: resources[f"{name}Function"]["Properties"]["Layers"] for name in ("Price", "Churn", "Sift")
    }
    assert layers == {
        "Price": [{"Ref": "CodecsLayer"}],
        "Churn": [{"Ref": "OnnxruntimeLayer"}],
        "Sift": [{"Ref": "CodecsLayer"}],
    }


def test_program_is_no_folder_to_copy(project: Path) -> None:
    with pytest.raises(RefusedError, match="python model, whose code is not in its folder"):
        plan_model(project, "churn", project / "scripts/hotplate_tools/models/sift")


def test_template_only_gains_lines(project: Path) -> None:
    before = (project / "template.yaml").read_text()
    planned = plan_model(project, "churn", None)
    changes = list(difflib.ndiff(before.splitlines(), planned.template.splitlines()))
    assert [line for line in changes if line.startswith("- ")] == []
    added = [line for line in changes if line.startswith("+ ")]
    assert len(added) > 100
    assert not [line for line in added if "igits" in line]


def test_new_models_are_told_to_the_catalogue(project: Path) -> None:
    before = catalogue_lines(project)
    for name in ("my-digits", "churn"):
        write_model(project, plan_model(project, name, None))
    assert catalogue_lines(project) == [
        *before,
        "my-digits ${MyDigitsModelVersion} ${MyDigitsManifestSha256} ${MyDigitsMemorySize}",
        "churn ${ChurnModelVersion} ${ChurnManifestSha256} ${ChurnMemorySize}",
    ]


def catalogue_lines(project: Path) -> list[str]:
    properties = read_yaml(project / "template.yaml")["Resources"]["CatalogueFunction"]["Properties"]
    comma, lines = properties["Environment"]["Variables"]["HOTPLATE_SERVED"]["Fn::Join"]
    assert comma == ","
    return [line["Fn::Sub"] for line in lines if "Fn::Sub" in line]


def test_two_new_models_stand_side_by_side(project: Path) -> None:
    for name in ("churn", "price"):
        write_model(project, plan_model(project, name, None))
    resources = read_yaml(project / "template.yaml")["Resources"]
    assert {"DigitsFunction", "ChurnFunction", "PriceFunction"} <= resources.keys()


def test_block_is_copied_alone_where_another_models_names_hold_the_patterns(project: Path) -> None:
    for name in ("my-digits", "digits2", "churn"):
        write_model(project, plan_model(project, name, None))
    text = (project / "template.yaml").read_text()
    entries = re.findall(r"^  (\w+):$", text, re.MULTILINE)
    assert sorted(entries) == sorted(set(entries))
    resources = [each for each in read_yaml(project / "template.yaml")["Resources"] if "Digits" not in each]
    assert {each for each in resources if "Churn" in each} == {
        "ChurnLogGroup",
        "ChurnSubscription",
        "ChurnRole",
        "ChurnFunction",
    }


def test_dry_run_writes_nothing(project: Path) -> None:
    before = snapshot(project)
    made = run(project, "-B", "-m", "hotplate_tools.cli", "new", "churn", "--dry-run")
    assert (made.returncode, "would write functions/churn/app.py" in made.stdout) == (0, True)
    assert snapshot(project) == before


def test_source_folder_is_copied_under_the_new_name(project: Path, tmp_path: Path) -> None:
    planned = plan_model(project, "churn", write_folder(tmp_path / "theirs", model=affine()))
    write_model(project, planned)
    described = describe(project / "scripts/hotplate_tools/models/churn")
    assert described.manifest.name == "churn"
    assert described.manifest_sha256 in planned.template
    assert "functions/churn/model.py" in planned.files


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digits", "functions/digits is there"),
        ("Churn", "no name"),
        ("3d", "no name"),
        ("class", "no name"),
        ("../churn", "no name"),
        ("x" * 64, "no name"),
        ("catalogue", "there already"),
    ],
)
def test_name_that_is_taken_or_is_none_is_refused(project: Path, name: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        plan_model(project, name, None)


def test_name_whose_ids_are_taken_is_refused(project: Path) -> None:
    write_model(project, plan_model(project, "churn-risk", None))
    with pytest.raises(RefusedError, match="already"):
        plan_model(project, "churn.risk", None)
    with pytest.raises(RefusedError, match="already"):
        plan_model(project, "churn_risk", None)


def test_folder_that_is_no_source_is_refused(project: Path, tmp_path: Path) -> None:
    write_onnx(tmp_path / "bare/m.onnx", affine())
    with pytest.raises(RefusedError, match=r"model\.yaml"):
        plan_model(project, "churn", tmp_path / "bare")


def test_new_model_that_isolates_tenants_has_what_that_takes_and_nothing_that_lambda_excludes(
    project: Path,
) -> None:
    planned = plan_model(project, "churn-risk.v2", None, isolates=True)
    document = parse_yaml(planned.template, "template.yaml")
    assert isolation_faults(document) == []
    plain = parse_yaml(plan_model(project, "churn-risk.v2", None).template, "template.yaml")
    function = "ChurnRiskV2Function"
    properties = document["Resources"][function]["Properties"]
    taken = {"SnapStart", "ProvisionedConcurrencyConfig", "Events"}
    assert {*plain["Resources"][function]["Properties"]} - {*properties} == taken
    assert properties["TenancyConfig"]["Fn::If"][:2] == [
        "IsolatesTenants",
        {"TenantIsolationMode": "PER_TENANT"},
    ]
    events = plain["Resources"][function]["Properties"]["Events"].values()
    routes = defined_routes(document["Resources"]["Api"]["Properties"])
    assert {(each.method, each.path) for each in routes if each.function == function} == {
        (each["Properties"]["Method"], each["Properties"]["Path"]) for each in events
    }
    listed = document["Globals"]["Function"]["Environment"]["Variables"]["HOTPLATE_ISOLATED"]
    assert listed["Fn::If"] == ["IsolatesTenants", "breast-cancer churn-risk.v2", ""]
    sections = ("Parameters", "Conditions")
    gone = {name for each in sections for name in plain[each] if name not in document[each]}
    assert gone == {"ChurnRiskV2ProvisionedConcurrency", "SnapStartsChurnRiskV2", "ProvisionsChurnRiskV2"}


def test_streamed_answers_and_isolated_tenants_are_not_combined(project: Path) -> None:
    text = (project / "template.yaml").read_text("utf-8")
    with pytest.raises(RefusedError, match="Smollm2Function streams"):
        with_isolation(text, parse_yaml(text, "template.yaml"), "smollm2")
    with pytest.raises(RefusedError, match="already"):
        with_isolation(text, parse_yaml(text, "template.yaml"), "breast-cancer")
