"""`hotplate batch` against the function of batch, whose queue moves on whenever it is asked something."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hotplate.aws.batch_files import SIDECAR
from hotplate_tools.batch import follow, stack
from hotplate_tools.batch.commands import batch
from hotplate_tools.batch.stack import BatchOfStack
from hotplate_tools.failures import FailedError, RefusedError
from tests.support.batch import BUCKET, World, created, doubled, lines_of, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

KEY = "in/-/affine/rows.jsonl"


@dataclass
class Functions:
    """Lambda: calls the function, after S3 has told of what is new and a message was worked on."""

    made: World
    told: set[tuple[str, str]] = field(default_factory=set)

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 - boto3's
        assert FunctionName == "Batch"
        for key in self.made.names("in/"):
            head = self.made.s3.head_object(Bucket=BUCKET, Key=key)
            if (key, head["ETag"]) not in self.told:
                self.told.add((key, head["ETag"]))
                self.made.queue.put(created(key, head["ETag"].strip('"'), head["ContentLength"]))
        if self.made.queue.waiting:
            with redirect_stdout(io.StringIO()):  # its log
                self.made.take_one()
        answer = self.made.requests.answer(json.loads(Payload))
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world() as found:
        there = BatchOfStack(found.s3, BUCKET, Functions(found), "Batch")
        monkeypatch.setattr(stack, "batch_of", lambda *_, **__: there)
        monkeypatch.setattr(follow, "_PAUSE_S", 0)
        tenant = "-"
        predict = found.models.predict

        def of_the_owner(model: str, function: str, asked_for: str, asked: Any) -> Any:
            assert asked_for == tenant
            return predict(model, function, "acme", asked)

        found.models.predict = of_the_owner  # type: ignore[assignment,method-assign]
        yield found


def call(*arguments: str) -> Result:
    return CliRunner().invoke(batch, arguments, catch_exceptions=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines_of(45, bad_every=20))
    return path


def test_run_uploads_follows_and_downloads(made: World, file: Path, tmp_path: Path) -> None:
    done = call("run", str(file), "--model", "affine", "--out", str(tmp_path / "out"), "--json")
    report = json.loads(done.stdout)
    assert report["rows"] == {"read": 45, "predicted": 42, "failed": 3}
    saved = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert saved["predictions.jsonl"] == doubled(file.read_bytes())
    assert len(saved["errors.jsonl"].splitlines()) == 3
    assert json.loads(saved["report.json"])["run"] == report["run"]


def test_run_tells_people_what_became_of_it(made: World, file: Path, tmp_path: Path) -> None:
    done = call("run", str(file), "--model", "affine", "--out", str(tmp_path / "only.jsonl"))
    assert "rows 45: 42 predicted, 3 set aside" in done.stdout
    assert (tmp_path / "only.jsonl").read_bytes() == doubled(file.read_bytes())
    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize("where", ["folder", "prefix"])
def test_folder_and_prefix_are_put_as_one_archive(made: World, tmp_path: Path, where: str) -> None:
    files = {"a/1.png": b"one", "b.png": b"two"}
    for name, content in files.items():
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        made.s3.put_object(Bucket=BUCKET, Key=f"of/old/pictures/{name}", Body=content)
    given = str(tmp_path / "pictures") if where == "folder" else f"s3://{BUCKET}/of/old/pictures/"
    arguments = ("run", given, "--model", "affine", "--options", '{"batch_rows": 2}')
    told = json.loads(call(*arguments, "--dry-run", "--json").stdout)
    key = "in/-/affine/pictures.zip"
    assert (told["files"], told["bytes"], told["to"]) == (2, 6, f"s3://{BUCKET}/{key}")
    assert made.names("in/") == []
    call(*arguments, "--no-follow")
    assert made.names("in/") == [key, key + SIDECAR]
    with zipfile.ZipFile(io.BytesIO(made.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files


def test_folder_or_prefix_without_files_is_refused(made: World, tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(b"x")
    for given in (str(tmp_path), f"s3://{BUCKET}/nothing/here/"):
        with pytest.raises(RefusedError, match="there are no files in"):
            call("run", given, "--model", "affine")


def test_dry_run_does_nothing(made: World, file: Path) -> None:
    done = call("run", str(file), "--model", "affine", "--version", "v1", "--dry-run", "--json")
    assert json.loads(done.stdout) == {
        "file": str(file),
        "bytes": file.stat().st_size,
        "to": f"s3://{BUCKET}/{KEY}",
        "options": {"version": "v1"},
    }
    assert made.names("") == []


def test_options_lie_beside_the_file_and_go_when_none_are_given(made: World, file: Path) -> None:
    call("run", str(file), "--model", "affine", "--options", '{"row_numbers": true}', "--json")
    assert json.loads(made.files.options(KEY)) == {"row_numbers": True}
    file.write_bytes(lines_of(3))
    call("run", str(file), "--model", "affine", "--json")
    assert made.files.options(KEY) == b"{}"


def test_options_of_the_file_beside_a_local_one_are_taken(made: World, file: Path) -> None:
    file.with_name(file.name + SIDECAR).write_text('{"version": "v0"}')
    with pytest.raises(FailedError, match="version 'v0' is not served"):
        call("run", str(file), "--model", "affine")


def test_object_elsewhere_is_copied_and_one_that_lies_right_stays(made: World) -> None:
    made.s3.put_object(Bucket=BUCKET, Key="elsewhere/rows.jsonl", Body=lines_of(5))
    for uri in (f"s3://{BUCKET}/elsewhere/rows.jsonl", f"s3://{BUCKET}/{KEY}"):
        done = call("run", uri, "--model", "affine", "--json")
        assert json.loads(done.stdout)["rows"]["read"] == 5
    assert len(made.models.asked) == 1
    with pytest.raises(RefusedError, match="is predicted already"):
        call("run", f"s3://{BUCKET}/{KEY}", "--model", "affine", "--options", '{"keep": []}')
    with pytest.raises(RefusedError, match="is an input of 'affine', not of 'other'"):
        call("run", f"s3://{BUCKET}/{KEY}", "--model", "other")


def test_report_says_how_rows_are_asked_again_on_which_the_model_failed(made: World, file: Path) -> None:
    file.write_bytes(lines_of(5) + b"fails\nbad\n")
    said = call("run", str(file), "--model", "affine").stdout
    assert f"on 1 the model failed: `hotplate batch resume {made.run(KEY)['run']}` asks them again" in said


def test_status_cancel_and_resume(made: World, file: Path) -> None:
    begun = json.loads(call("run", str(file), "--model", "affine", "--no-follow", "--json").stdout)
    assert json.loads(call("cancel", begun["run"], "--json").stdout)["state"] == "cancelled"
    assert "cancelled" in call("status", begun["run"]).stdout
    assert json.loads(call("resume", begun["run"], "--json").stdout)["state"] == "succeeded"
    with pytest.raises(RefusedError, match="it cannot be cancelled"):
        call("cancel", begun["run"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "/no/such/file", "--model", "affine"), "no file"),
        (("run", "s3://bucket", "--model", "affine"), "names no object"),
        (("status", "none"), "unknown run 'none'"),
    ],
)
def test_what_is_not_there_is_refused(made: World, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        call(*arguments)


@pytest.mark.parametrize("options", ["{", "[]"])
def test_options_that_are_none_are_refused(made: World, file: Path, options: str) -> None:
    with pytest.raises(RefusedError, match="the options are no JSON"):
        call("run", str(file), "--model", "affine", "--options", options)


def test_run_that_fails_says_why_and_what_to_do(made: World, file: Path) -> None:
    file.write_bytes(b"broken")
    with pytest.raises(FailedError, match=r"failed: no lines \(byte 0\)") as raised:
        call("run", str(file), "--model", "affine")
    assert "hotplate batch resume" in raised.value.advice
