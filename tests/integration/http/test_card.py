"""`GET …/card`: the card as published, read when asked for, verified like every other file."""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any

import msgspec
import pytest

from hotplate.errors import StoreUnavailableError
from hotplate.http import card as card_module
from hotplate.http.endpoint import Endpoint
from hotplate.limits import MAX_CARD_BYTES
from hotplate.manifest.layout import blob_key
from hotplate.manifest.schema import FileEntry, OutputParity, Parity, Provenance
from hotplate.runtime.card import read_card
from hotplate.runtime.loader import load_model
from tests.integration.http.test_endpoint import event
from tests.support.lambda_context import Context
from tests.support.published import Published, published, republished, sha256_of

CARD = "---\nlicense: mit\n---\n\n# Affine\n\nZwölf Größen.\n".encode()
KEY = blob_key(sha256_of(CARD))


def with_card(card: bytes = CARD, **changes: Any) -> Published:
    bare = published()
    entry = FileEntry("card.md", "card", len(card), sha256_of(card))
    manifest = msgspec.structs.replace(bare.manifest, files=(entry, *bare.manifest.files), **changes)
    blobs = {key: body for key, body in bare.reader.objects.items() if key.startswith("blobs/")}
    return republished(manifest, {**blobs, blob_key(entry.sha256): card})


def endpoint(version: Published) -> Endpoint:
    load = partial(load_model, version.settings, version.reader)
    return Endpoint(load, partial(read_card, reader=version.reader))


def ask(served: Endpoint, path: str = "/v2/models/affine/card") -> dict[str, Any]:
    return served(event("GET", path), Context())


@pytest.mark.parametrize("versions", ["", "/versions/{}"])
def test_card_is_answered_as_published(versions: str) -> None:
    version = with_card()
    result = ask(endpoint(version), f"/v2/models/affine{versions.format(version.settings.version)}/card")
    assert (result["statusCode"], base64.b64decode(result["body"])) == (200, CARD)
    assert result["headers"]["content-type"] == "text/markdown; charset=utf-8"
    assert result["headers"]["hotplate-model-version"] == version.settings.version


def test_cold_start_does_not_read_it_and_two_requests_read_it_once() -> None:
    version = with_card()
    served = endpoint(version)
    assert KEY not in version.reader.reads
    assert [ask(served)["statusCode"] for _ in range(2)] == [200, 200]
    assert version.reader.reads.count(KEY) == 1


def test_version_without_a_card_says_so() -> None:
    result = ask(endpoint(published()))
    assert result["statusCode"] == 404
    body = json.loads(result["body"])
    assert body["type"] == "urn:hotplate:error:CardNotFoundError"
    assert "without a card" in body["error"]


def test_card_of_another_model_or_version_is_not_here() -> None:
    served = endpoint(with_card())
    assert ask(served, "/v2/models/other/card")["statusCode"] == 404
    assert ask(served, "/v2/models/affine/versions/0/card")["statusCode"] == 404


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (CARD.replace(b"mit", b"gpl"), "DigestMismatchError"),
        (CARD + b"x", "LengthMismatchError"),
        (CARD[:-1], "LengthMismatchError"),
        (None, "StoreNotFoundError"),
    ],
    ids=["altered", "longer", "cut", "gone"],
)
def test_card_that_is_not_the_published_one_is_a_500_and_the_model_still_answers(
    body: bytes | None, error: str
) -> None:
    version = with_card()
    if body is None:
        del version.reader.objects[KEY]
    else:
        version.reader.objects[KEY] = body
    served = endpoint(version)
    result = ask(served)
    assert result["statusCode"] == 500
    assert json.loads(result["body"])["type"] == f"urn:hotplate:error:{error}"
    assert ask(served, "/v2/models/affine/ready")["statusCode"] == 200


def test_store_that_is_down_is_a_503_is_not_asked_at_once_again_and_heals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = with_card()
    version.reader.faults[KEY] = [StoreUnavailableError("slow")]
    served = endpoint(version)
    answers = [ask(served) for _ in range(2)]
    assert [answer["statusCode"] for answer in answers] == [503, 503]
    assert answers[0]["headers"]["retry-after"] == "2"
    assert version.reader.reads.count(KEY) == 1
    monkeypatch.setattr(card_module, "RETRY_AFTER_S", 0)
    assert ask(served)["statusCode"] == 200


def test_card_that_is_too_long_is_not_read() -> None:
    version = with_card(bytes(MAX_CARD_BYTES + 1))
    result = ask(endpoint(version))
    assert json.loads(result["body"])["type"] == "urn:hotplate:error:ManifestError"
    assert not [key for key in version.reader.reads if key == blob_key(version.manifest.file("card").sha256)]


def test_metadata_tells_provenance_parity_and_the_card_s_head_and_reads_nothing() -> None:
    provenance = Provenance(command="python train.py", seed=0, metrics={"accuracy": 0.98})
    figures = {"y": OutputParity(2e-6, 1e-6, 1.0), "z": OutputParity(1e-6, 3e-6)}
    version = with_card(
        provenance=provenance,
        parity=Parity("keras 3", 12, 1e-4, figures, ("batch 1",)),
        parameters={"card": {"license": "mit"}},
    )
    served = endpoint(version)
    read = len(version.reader.reads)
    body = json.loads(ask(served, "/v2/models/affine")["body"])
    assert len(version.reader.reads) == read
    assert body["parameters"] == {
        "task": "",
        "labels": {},
        "provenance": {"command": "python train.py", "seed": 0, "metrics": {"accuracy": 0.98}},
        "parity": {
            "framework": "keras 3",
            "rows": 12,
            "made_up": False,
            "tolerance": 1e-4,
            "max_abs": 2e-6,
            "max_rel": 3e-6,
        },
        "card": {"license": "mit"},
    }


def test_metadata_of_a_model_without_them_does_not_mention_them() -> None:
    version = published()
    body = json.loads(ask(endpoint(version), "/v2/models/affine")["body"])
    assert body["parameters"] == {"task": "", "labels": {}}
