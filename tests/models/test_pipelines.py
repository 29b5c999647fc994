"""The ocr pipeline over HTTP, fused into one function and split into several: the same answers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from hotplate_tools.console import Console
from hotplate_tools.local.up import local_cloud
from hotplate_tools.models.ocr.drawing import pages, png
from hotplate_tools.training.trainer import objects
from tests.models.conftest import DEPLOYED
from tests.support.endpoint import answers, infer
from tests.support.http_call import call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate_tools.local.up import LocalCloud

    Array = np.ndarray[Any, Any]

INVOICE = "Invoice 2024-17  Total: $1,234.56"


@pytest.fixture(scope="module")
def split() -> Iterator[LocalCloud]:
    """A cloud in which ocr calls its members' functions; a deployed stack has one way only."""
    assert not DEPLOYED, "both ways are compared in local clouds"
    with local_cloud(Console(as_json=True), parameters={"OcrPipeline": "split"}) as cloud:
        yield cloud


def invoice() -> Array:
    """Return a drawn line as a picture file, in the way a BYTES tensor holds it."""
    font = ImageFont.load_default(32)
    page = Image.new("RGB", (int(font.getlength(INVOICE)) + 60, 90), "white")
    ImageDraw.Draw(page).text((30, 25), INVOICE, fill="black", font=font)
    out = io.BytesIO()
    page.save(out, "PNG")
    return objects([out.getvalue()])


def test_drawn_invoice_is_read_and_its_place_found_in_both_ways(server: str, split: LocalCloud) -> None:
    file = invoice()
    for url in (server, split.url):
        found = answers(url, "ocr", image_file=file)
        said = b" ".join(found["text"].tolist()).split()
        assert said == INVOICE.encode().split()
        assert (found["box"].shape, found["score"].shape) == ((len(found["text"]), 4), (len(found["text"]),))
        assert found["score"].min() > 0.8
        left, top, right, bottom = found["box"][0]
        assert abs(left - 30) < 10
        assert top < 35 < 50 < bottom
        assert right > 300


@pytest.mark.parametrize("page", [0, 7, 14])
def test_both_ways_answer_the_same(server: str, split: LocalCloud, page: int) -> None:
    file = objects([png(pages()[page].grey)])
    fused, apart = (answers(url, "ocr", image_file=file) for url in (server, split.url))
    assert len(fused["text"]) == 4
    assert fused["text"].tolist() == apart["text"].tolist()
    for name in ("box", "score"):
        np.testing.assert_array_equal(fused[name], apart[name])


def test_catalogue_names_the_members(server: str) -> None:
    told = call(server, "GET", "/v1/models/ocr").json()
    assert told["members"] == ["text-detection", "text-recognition"]
    assert "members" not in call(server, "GET", "/v1/models/text-detection").json()


def test_page_without_a_word_gets_no_lines_in_both_ways(server: str, split: LocalCloud) -> None:
    blank = objects([png(np.full((50, 70), 255, np.uint8))])
    for url in (server, split.url):
        found = answers(url, "ocr", image_file=blank)
        assert [found[name].shape for name in ("text", "box", "score")] == [(0,), (0, 4), (0,)]


@pytest.mark.parametrize(
    ("files", "words"), [([b"hello"], "PNG or JPEG"), ([b"", b""], "[1]")], ids=["no picture", "two"]
)
def test_wrong_request_gets_the_same_400_in_both_ways(
    server: str, split: LocalCloud, files: list[bytes], words: str
) -> None:
    told = [infer(url, "ocr", image_file=objects(files)) for url in (server, split.url)]
    assert [answer.status for answer in told] == [400, 400]
    assert words in told[0].json()["error"]
    assert told[0].json()["error"] == told[1].json()["error"]


def test_split_pipeline_calls_its_members_and_fetches_none_of_them(split: LocalCloud) -> None:
    answers(split.url, "ocr", image_file=invoice())
    for member in ("TextDetectionFunction", "TextRecognitionFunction"):
        assert any('"usage"' in line for line in split.logs(member)), member
    (cold, *_) = [line for line in split.logs("OcrFunction") if '"cold"' in line and "phases_ms" in line]
    assert '"session"' not in cold


def test_member_that_is_gone_is_a_503_or_500_that_names_the_step(split: LocalCloud) -> None:
    """Last in the file: the function does not come back."""
    split.client("lambda").delete_function(FunctionName=split.functions["TextRecognitionFunction"])
    answer = infer(split.url, "ocr", image_file=invoice())
    assert answer.status in (500, 503), answer.body
    assert "step 'read'" in answer.json()["error"]
    assert answer.json()["type"].startswith("urn:hotplate:error:Step")
