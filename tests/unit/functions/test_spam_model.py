"""What the spam model does around its graph: what of a mail is read, and how it is numbered."""

from __future__ import annotations

import time

import numpy as np
import pytest

from functions.spam.model import FIRST, TOKENS, UNKNOWN, VOCABULARY, transforms, words

STEPS = transforms({VOCABULARY: b'["free", "lunch"]'})


def tokens(*texts: bytes) -> list[list[int]]:
    array = np.empty(len(texts), object)
    array[:] = texts
    found = STEPS.preprocess({"text": array})["tokens"]
    assert (found.dtype, found.shape) == (np.int32, (len(texts), TOKENS))
    listed: list[list[int]] = found.tolist()
    return listed


def test_words_are_numbered_by_the_versions_vocabulary_the_first_one_last() -> None:
    (row,) = tokens(b"FREE lunch, unheard")
    assert row == [0] * (TOKENS - 3) + [UNKNOWN, FIRST + 1, FIRST]


def test_text_longer_than_what_is_read_keeps_its_beginning() -> None:
    (row,) = tokens(b"free " + b"lunch " * 500)
    assert row == [FIRST + 1] * (TOKENS - 1) + [FIRST]


def test_empty_text_is_padding() -> None:
    assert tokens(b"", b"...") == [[0] * TOKENS] * 2


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Buy 12 for $5!", "buy 0 for $ 0 !"),
        (
            b"From a@b Thu\nReceived: by x\n\tfolded\nSubject: A\n folded one\n\nthe text",
            "a folded one the text",
        ),
        (b"Subject: A\r\nTo: b\r\n\r\nthe\r\n\r\ntext", "a the text"),
        (b"CONTENT-TYPE: text/html\nSubject: x\n\n<b>hi</b>", "x < hi <"),
        (b"a <script>no</script> b <STYLE type=x>no <i>no</style> c", "a < b < c"),
        (b"a <script>never ends", "a"),
        (b"Dear sir: hello\n\nsubject: not a header", "dear sir hello subject not a header"),
        (b" folded first\nSubject: x\n\ny", "folded first subject x y"),
        (b"1 < 2 and 3 > 2", "0 < 0"),  # looks like a tag
        ("Größe \N{FIRE}".encode(), "gr e"),
        (b"\xff\xfe caf\xe9", "caf"),
    ],
)
def test_what_is_read(raw: bytes, expected: str) -> None:
    assert " ".join(words(raw)) == expected


@pytest.mark.parametrize(
    "part",
    [b"<script", b"<script>", b"a:\r\n\t", b"<", b"Subject:\n "],
    ids=["open tags", "scripts", "folds", "brackets", "subjects"],
)
def test_hostile_text_costs_no_more_than_it_is_long(part: bytes) -> None:
    started = time.process_time()
    list(words(part * 50_000))
    assert time.process_time() - started < 5


def test_label_is_the_more_probable_one() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert STEPS.postprocess({"probabilities": probabilities})["label"].tolist() == [b"ham", b"spam"]


@pytest.mark.parametrize("raw", [b"{}", b"[1]", b"x"])
def test_asset_that_is_no_list_of_words_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"vocabulary\.json|Expecting value"):
        transforms({VOCABULARY: raw})
