"""Pictures through the whole of batch, with the digits model: archives, folders and prefixes."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pybase64
import pytest

from functions.digits.model import postprocess, preprocess
from hotplate.aws.batch_files import SIDECAR
from hotplate.http.endpoint import Endpoint
from hotplate.manifest.schema import encode
from hotplate.runtime.loader import load_model
from hotplate.runtime.transforms import Transforms
from hotplate.settings import Settings
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.batch.archive import Entry, files_of_folder, files_of_prefix, pack
from hotplate_tools.batch.stack import BatchOfStack
from hotplate_tools.bench.stage import FolderReader
from hotplate_tools.console import Console
from hotplate_tools.models.digits.drawing import draw
from hotplate_tools.publish.pipeline import publish_model
from hotplate_tools.training.stored import source_folder
from tests.support.batch import BUCKET, World, world
from tests.support.lambda_context import Context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hotplate.runtime.model import Model

# The world's only model is called `affine`, whatever it is.
COUNT = 70
KEY = "in/acme/affine/pictures.zip"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The digits model, as its function has it."""
    folder = tmp_path_factory.mktemp("registry")
    console = Console(as_json=True)
    published = publish_model(source_folder("digits"), store=FilesystemStore(folder), console=console)
    settings = Settings.from_environ(
        {
            "HOTPLATE_MODEL": published.name,
            "HOTPLATE_VERSION": published.version,
            "HOTPLATE_MANIFEST_SHA256": published.manifest_sha256,
            "HOTPLATE_BUCKET": "none",
            "HOTPLATE_UNSIGNED": "allowed-for-development",
        }
    )
    return load_model(settings, FolderReader(folder), Transforms(preprocess, postprocess))


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    """Files of digits, drawn large and small, by name."""
    lines = (source_folder("digits") / "golden.jsonl").read_text().splitlines()
    images = np.concatenate([np.asarray(json.loads(each)["inputs"]["image"], np.float32) for each in lines])
    found = {}
    for number, image in enumerate(np.concatenate([images] * 70)[:COUNT]):
        kind, suffix = (("PNG", "png"), ("JPEG", "jpg"))[number % 2]
        found[f"{number % 3}/{number:03d} a+b%2F中.{suffix}"] = draw(image, side=56 + number, kind=kind)  # type: ignore[arg-type]
    return found


def online(model: Model, files: list[bytes]) -> list[dict[str, Any]]:
    """Return what the endpoint answers to each of these files in one request."""
    texts = [pybase64.b64encode_as_string(each) for each in files]
    entry = {
        "name": "image_file",
        "datatype": "BYTES",
        "shape": [len(files)],
        "parameters": {"content_type": "base64"},
        "data": texts,
    }
    event = {"httpMethod": "POST", "path": "/v2/models/digits/infer", "headers": {}}
    answer = Endpoint(lambda: model)({**event, "body": json.dumps({"inputs": [entry]})}, Context())
    assert answer["statusCode"] == 200, answer["body"]
    outputs = {each["name"]: each["data"] for each in json.loads(answer["body"])["outputs"]}
    chances = np.array(outputs["probabilities"]).reshape(-1, 10).tolist()
    pairs = zip(chances, outputs["digit"], strict=True)
    return [{"probabilities": chance, "digit": digit} for chance, digit in pairs]


def packed(files: dict[str, bytes]) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        for name, content in sorted(files.items()):
            archive.writestr(name, content)
    return into.getvalue()


@pytest.fixture
def batch(model: Model) -> Iterator[World]:
    with world(model=model, rows_in_chunk=20_000) as made:
        made.models.manifest = encode(model.manifest).decode()
        yield made


def predictions(batch: World) -> list[dict[str, Any]]:
    return [json.loads(line) for line in batch.out("predictions.jsonl", KEY).splitlines()]


def test_each_picture_is_answered_as_the_endpoint_answers_it(
    batch: World, model: Model, pictures: dict[str, bytes]
) -> None:
    batch.s3.put_object(Bucket=BUCKET, Key=KEY + SIDECAR, Body=b'{"batch_rows": 1}')
    batch.put(packed(pictures), KEY)
    batch.work()
    report = batch.report(KEY)
    assert report["rows"] == {"read": COUNT, "predicted": COUNT, "failed": 0}
    assert report["chunks"]["all"] > 3
    # One line a picture, in the order of the names, bit for bit.
    assert predictions(batch) == [
        {"file": name, **online(model, [content])[0]} for name, content in sorted(pictures.items())
    ]


def test_pictures_asked_together_get_the_same_digits(
    batch: World, model: Model, pictures: dict[str, bytes]
) -> None:
    batch.put(packed(pictures), KEY)
    batch.work()
    found, wanted = predictions(batch), online(model, [content for _, content in sorted(pictures.items())])
    assert [each["digit"] for each in found] == [each["digit"] for each in wanted]
    chances = [np.array([each["probabilities"] for each in some]) for some in (found, wanted)]
    np.testing.assert_allclose(chances[0], chances[1], atol=1e-6)


def test_bad_pictures_are_set_aside_with_their_names_and_reasons(
    batch: World, model: Model, pictures: dict[str, bytes]
) -> None:
    bad = {
        "0/000 no picture.png": b"no picture",
        "1/cut.png": pictures["1/034 a+b%2F中.png"][:100],
        "2/empty.jpg": b"",
    }
    batch.put(packed(pictures | bad), KEY)
    batch.work()
    errors = [json.loads(line) for line in batch.out("errors.jsonl", KEY).splitlines()]
    names = sorted(pictures | bad)
    assert [(each["file"], each["row"]) for each in errors] == [
        (name, names.index(name)) for name in sorted(bad)
    ]
    assert all(each["reason"].startswith("expected ") and "image_file" in each["field"] for each in errors)
    assert [each["file"] for each in predictions(batch)] == sorted(pictures)
    assert batch.report(KEY)["rows"] == {"read": COUNT + 3, "predicted": COUNT, "failed": 3}


def test_large_archive_goes_through_the_map_with_the_same_outcome(
    model: Model, pictures: dict[str, bytes]
) -> None:
    found = []
    for above in (1, 1000):
        with world(model=model, rows_in_chunk=20_000, map_above=above) as made:
            made.models.manifest = encode(model.manifest).decode()
            made.put(packed(pictures), KEY)
            made.work()
            assert made.run(KEY)["engine"] == ("map" if above == 1 else "queue")
            found.append(made.out("predictions.jsonl", KEY))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (b'{"columns": {"content": "image"}}', "digits has 'image_file': `columns` says which"),
        (b'{"columns": {"file": "image_file"}}', "digits has 'image_file': `columns` says which"),
        (b'{"keep": ["content"]}', "column 'content' is to be kept; the file has 'file'"),
        (b'{"compression": "gzip"}', "not read when it is compressed as a whole"),
    ],
)
def test_options_that_fit_no_archive_are_told(
    batch: World, pictures: dict[str, bytes], options: bytes, words: str
) -> None:
    batch.s3.put_object(Bucket=BUCKET, Key=KEY + SIDECAR, Body=options)
    batch.put(packed(pictures), KEY)
    batch.work()
    assert (batch.report(KEY)["state"], words in batch.report(KEY)["reason"]) == ("failed", True)


def test_folder_and_prefix_become_the_same_archive(
    batch: World, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    for name, content in {**pictures, ".DS_Store": b"x", "1/.hidden": b"x"}.items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        batch.s3.put_object(Bucket=BUCKET, Key=f"pictures/{name}", Body=content)
    batch.s3.put_object(Bucket=BUCKET, Key="pictures/1/", Body=b"")
    where = BatchOfStack(batch.s3, BUCKET, None, "")
    made = [
        archive_of(files_of_folder(tmp_path / "set")),
        archive_of(files_of_prefix(where, BUCKET, "pictures/")),
    ]
    assert made[0] == made[1]
    with zipfile.ZipFile(io.BytesIO(made[0])) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == pictures
        assert archive.namelist() == sorted(pictures)
    batch.put(made[0], KEY)
    batch.work()
    assert [each["file"] for each in predictions(batch)] == sorted(pictures)


def archive_of(entries: list[Entry]) -> bytes:
    into = io.BytesIO()
    counted: list[int] = []
    pack(entries, into, counted.append)  # type: ignore[arg-type]
    assert sum(counted) == sum(each.size for each in entries)
    return into.getvalue()
