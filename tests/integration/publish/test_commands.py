import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws

from hotplate.aws.clients import s3_client
from hotplate.manifest.layout import manifest_key
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.console import Console
from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.local import measure_published
from hotplate_tools.publish.commands import models, promote, publish, rollback
from hotplate_tools.publish.pipeline import describe, prepare
from tests.support.tiny_models import affine, write_folder, write_onnx


@click.group()
def cli() -> None:
    """Only the commands of this room."""


for command in (publish, models, promote, rollback):
    cli.add_command(command)


def run(*arguments: str | Path, **environ: str) -> Result:
    # Measuring has its own tests; here it would only cost time.
    quick = ["--no-measure"] if arguments[0] == "publish" else []
    return CliRunner().invoke(cli, [*map(str, arguments), *quick], env={"HOTPLATE_BUCKET": None, **environ})


def answer(*arguments: str | Path, **environ: str) -> Any:
    result = run(*arguments, "--json", **environ)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = s3_client(region="us-east-1")
        client.create_bucket(Bucket="registry")
        client.put_bucket_versioning(Bucket="registry", VersioningConfiguration={"Status": "Enabled"})
        yield "registry"


def test_publish_answers_what_a_deployment_needs(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", name="spam-filter.v2")
    described = describe(folder)
    sizes = {entry.path: (entry.sha256, entry.size) for entry in described.manifest.files}
    assert answer("publish", folder, "--registry", tmp_path / "r") == {
        "name": "spam-filter.v2",
        "version": described.version,
        "manifest_sha256": described.manifest_sha256,
        "dry_run": False,
        "wrote": True,
        "blobs": [
            {"path": path, "sha256": sizes[path][0], "size": sizes[path][1], "uploaded": True}
            for path in ("card.md", "golden.jsonl", "model.onnx")
        ],
        "signed_by": None,
        "alias": {
            "name": "spam-filter.v2",
            "alias": "live",
            "from": None,
            "to": described.version,
            "manifest_sha256": described.manifest_sha256,
        },
        "parameters": {
            "SpamFilterV2ModelVersion": described.version,
            "SpamFilterV2ManifestSha256": described.manifest_sha256,
        },
    }


def test_publish_tells_people_the_same(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "affine.onnx", affine())
    described = describe(file)
    first = run("publish", file, "--registry", tmp_path / "r")
    assert first.exit_code == 0
    assert first.stdout.startswith(f"affine {described.version}\n")
    assert f"AffineModelVersion={described.version}\n" in first.stdout
    assert f"AffineManifestSha256={described.manifest_sha256}\n" in first.stdout
    assert f"live: nothing → {described.version}" in first.stdout
    second = run("publish", file, "--registry", tmp_path / "r")
    assert (second.exit_code, "nothing to do" in second.stdout) == (0, True)


def test_dry_run_says_would_and_writes_nothing(tmp_path: Path) -> None:
    result = run("publish", write_folder(tmp_path / "a"), "--registry", tmp_path / "r", "--dry-run")
    assert result.exit_code == 0
    assert ("would put" in result.stdout, "would move: live" in result.stdout) == (True, True)
    assert not (tmp_path / "r").exists()


def test_bucket_comes_from_the_environment_or_the_option(bucket: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    assert answer("publish", folder, "--region", "us-east-1", HOTPLATE_BUCKET=bucket)["wrote"] is True
    assert answer("publish", folder, "--region", "us-east-1", "--bucket", bucket)["wrote"] is False


def test_way_of_a_model_through_its_commands(bucket: str, tmp_path: Path) -> None:
    where = ("--bucket", bucket, "--region", "us-east-1")
    assert answer("models", *where) == {"models": []}
    first = answer("publish", write_onnx(tmp_path / "m.onnx", affine(2)), *where)["version"]
    second = answer(
        "publish", write_onnx(tmp_path / "m.onnx", affine(3)), *where, "--version", "1.0.0", "--no-promote"
    )["version"]
    assert second == "1.0.0"
    assert answer("promote", "m", "1.0.0", *where)["move"]["from"] == first
    assert answer("promote", "m", "1.0.0", *where)["move"] is None
    listed = answer("models", *where)["models"]
    assert [(model["name"], sorted(model["versions"])) for model in listed] == [
        ("m", sorted(["1.0.0", first]))
    ]
    assert (listed[0]["aliases"]["live"]["version"], listed[0]["aliases"]["live"]["previous"]) == (
        "1.0.0",
        first,
    )
    assert answer("rollback", "m", *where)["version"] == first
    assert answer("promote", "m", "1.0.0", "--alias", "candidate", *where)["move"]["from"] is None
    text = run("models", "--versions", *where).stdout
    assert f"  {first}  ← live" in text
    assert "  1.0.0  ← candidate" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["publish", "MODEL"], "--bucket"),
        (["publish", "MODEL", "--registry", "r", "--bucket", "b"], "exclude"),
        (["publish", "MODEL", "--registry", "r", "--version", "latest"], "1.2.3"),
        (["publish", "absent.onnx", "--registry", "r"], "absent.onnx"),
        (["publish"], "PATH"),
        (["models"], "--bucket"),
        (["promote", "m", "--registry", "r"], "VERSION"),
        (["models", "gc"], "--bucket"),
        (["models", "--registry", "r", "gc"], "after `gc`"),
        (["models", "gc", "--registry", "r", "--grace-days", "0"], "grace-days"),
    ],
    ids=[
        "no registry",
        "two registries",
        "no version",
        "no file",
        "no path",
        "list of nothing",
        "no version named",
        "collection of nothing",
        "option before the command",
        "no grace",
    ],
)
def test_wrong_command_line_is_a_usage_error(tmp_path: Path, arguments: list[str], words: str) -> None:
    file = str(write_onnx(tmp_path / "m.onnx", affine()))
    result = run(*[file if argument == "MODEL" else argument for argument in arguments])
    assert (result.exit_code, words in result.output) == (2, True)


def test_models_are_told_by_their_live_versions(tmp_path: Path) -> None:
    where = ("--registry", tmp_path / "r")
    source = write_folder(tmp_path / "affine", model=affine(), task="regression")
    version = answer("publish", source, *where)["version"]
    with prepare(source) as prepared:
        measure_published(prepared, store=FilesystemStore(tmp_path / "r"), console=Console(as_json=True))
    answer("publish", write_onnx(tmp_path / "m.onnx", affine()), *where, "--no-promote")
    first, second = answer("models", *where)["models"]
    assert (first["name"], first["live"], first["task"]) == ("affine", version, "regression")
    assert first["size"] > 0
    assert first["usd_per_million"] > 3.5  # what API Gateway takes
    assert first["card"] == f"/v2/models/affine/versions/{version}/card"
    assert (second["name"], second["live"], second["size"]) == ("m", None, None)
    head, *lines = run("models", *where).stdout.splitlines()
    assert head.split() == ["NAME", "TASK", "LIVE", "SIZE", "METRICS"]
    assert lines[0].split()[:4] == ["affine", "regression", version, "0.00"]
    assert lines[1].split() == ["m", "-", "-", "-", "-"]


def test_model_that_was_altered_is_told_and_hides_no_other(tmp_path: Path) -> None:
    where = ("--registry", tmp_path / "r")
    for name in ("affine", "good"):
        model = write_onnx(tmp_path / f"{name}.onnx", affine())
        version = answer("publish", model, *where)["version"]
        if name == "affine":
            manifest = tmp_path / "r" / manifest_key(name, version)
            manifest.write_bytes(manifest.read_bytes().replace(b"affine", b"altered"))
    first, second = answer("models", *where)["models"]
    assert "not the one that 'live' pins" in first["fault"]
    assert (second["fault"], second["name"]) == (None, "good")
    assert "not the one that" in run("models", *where).stdout


def test_registry_given_wins_over_the_bucket_of_the_environment(tmp_path: Path) -> None:
    assert answer("models", "--registry", tmp_path, HOTPLATE_BUCKET="elsewhere") == {"models": []}


def test_refusal_ends_with_its_own_exit_code(tmp_path: Path) -> None:
    (tmp_path / "model.pt").touch()
    result = run("publish", tmp_path / "model.pt", "--registry", tmp_path / "r")
    assert isinstance(result.exception, RefusedError)
    assert result.exception.exit_code == 3


def test_collection_says_what_it_would_do_then_does_it(tmp_path: Path) -> None:
    registry = tmp_path / "r"
    answer("publish", write_onnx(tmp_path / "m.onnx", affine()), "--registry", registry)
    loose = registry / "blobs/sha256" / ("0" * 64)
    loose.write_bytes(b"loose")
    os.utime(loose, (0, 0))
    would = answer("models", "gc", "--registry", registry, "--dry-run")
    assert would == {
        "dry_run": True,
        "removed": [{"key": f"blobs/sha256/{'0' * 64}", "size": 5, "modified": "1970-01-01T00:00:00+00:00"}],
        "removed_bytes": 5,
        "too_young": 0,
        "too_young_bytes": 0,
        "kept": 3,
        "kept_bytes": would["kept_bytes"],
    }
    assert loose.exists()
    text = run("models", "gc", "--registry", registry).stdout
    assert f"removed blobs/sha256/{'0' * 64}, 5 bytes, of 1970-01-01" in text
    assert not loose.exists()
    assert len(list((registry / "blobs/sha256").iterdir())) == 3


def test_collection_of_a_bucket(bucket: str, tmp_path: Path) -> None:
    where = ("--bucket", bucket, "--region", "us-east-1")
    answer("publish", write_onnx(tmp_path / "m.onnx", affine()), *where)
    s3_client(region="us-east-1").put_object(Bucket=bucket, Key="blobs/sha256/" + "0" * 64, Body=b"loose")
    found = answer("models", "gc", *where)
    assert (found["removed"], found["too_young"], found["kept"]) == ([], 1, 3)


def test_history_is_listed_and_who_was_first_is_told(tmp_path: Path) -> None:
    where = ("--registry", tmp_path / "r")
    first = answer("publish", write_onnx(tmp_path / "m.onnx", affine(2)), *where)["version"]
    second = answer("publish", write_onnx(tmp_path / "m.onnx", affine(3)), *where)["version"]
    alias = answer("models", *where)["models"][0]["aliases"]["live"]
    assert (alias["version"], alias["moves"]) == (second, 2)
    assert [each["version"] for each in alias["history"]] == [first]
    assert f"already: by {alias['moved_by']} at " in run("promote", "m", second, *where).stdout
