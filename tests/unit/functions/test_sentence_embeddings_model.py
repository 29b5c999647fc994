"""What the sentence-embeddings model does around its graph, with a vocabulary and a graph made up here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from functions.sentence_embeddings.model import (
    MAX_TEXTS,
    MAX_TOKENS,
    MAX_WORK,
    TEXT_WORK,
    TOKENIZER,
    transforms,
)
from functions.sentence_embeddings.tokenise import read
from hotplate.errors import ShapeMismatchError, ValueRangeError
from hotplate_tools.training.trainer import objects

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "play",
    "##ing",
    "##s",
    "a",
    "cafe",
    ",",
    "東",
    "京",
    "-",
    "$",
    "##a",
]
DOCUMENT: dict[str, Any] = {
    "model": {
        "type": "WordPiece",
        "vocab": {word: index for index, word in enumerate(WORDS)},
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 8,
    },
    "normalizer": {"type": "BertNormalizer", "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "added_tokens": [{"content": word, "id": WORDS.index(word)} for word in ("[UNK]", "[CLS]", "[SEP]")],
}


def raw(**changes: Any) -> bytes:
    return json.dumps(DOCUMENT | changes).encode()


def words(text: str, most: int = 64) -> list[str]:
    return [WORDS[index] for index in read(raw()).encode(text, most)][1:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Playing PLAYS", ["play", "##ing", "play", "##s"]),
        ("Café,a", ["cafe", ",", "a"]),
        ("cafe\u0301", ["cafe"]),
        ("a\u200ba\x00", ["a", "##a"]),
        ("a\u00a0a\u2028a", ["a", "a", "a"]),
        ("東京a", ["東", "京", "a"]),
        ("a-$a", ["a", "-", "$", "a"]),
        ("played", ["[UNK]"]),
        ("aaaaaaaa", ["a", *["##a"] * 7]),
        ("aaaaaaaaa", ["[UNK]"]),
        ("a[SEP]a [sep]", ["a", "[SEP]", "a", "[UNK]", "[UNK]", "[UNK]"]),
    ],
)
def test_text_becomes_the_longest_pieces_of_its_plain_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_text_is_cut_off_between_its_marks() -> None:
    assert read(raw()).encode("a " * 1000, 5) == [2, 7, 7, 7, 3]


def test_end_of_a_long_text_is_not_looked_at() -> None:
    """Four megabytes in a moment: splitting all of it takes seconds."""
    import time

    started = time.perf_counter()
    words("é " * 2_000_000)
    assert time.perf_counter() - started < 0.5


def test_tokenizer_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="a WordPiece tokenizer of BERT without case was expected, got BPE"):
        read(raw(model=DOCUMENT["model"] | {"type": "BPE"}))


def test_embedding_is_the_mean_of_its_tokens_at_length_one() -> None:
    def run(feeds: Any) -> dict[str, Array]:
        ids = feeds["input_ids"]
        assert feeds["attention_mask"].tolist() == [[1] * ids.shape[1]]
        assert not feeds["token_type_ids"].any()
        vectors = np.zeros((*ids.shape, 384), np.float32)
        vectors[0, :, 0], vectors[0, -1, 1] = 1, ids.shape[1]
        return {"last_hidden_state": vectors}

    found = transforms({TOKENIZER: raw()}).apply({"text": objects([b"a a a", b""])}, run)["embedding"]
    assert found.shape == (2, 384)
    np.testing.assert_allclose(found[:, :2], np.full((2, 2), 0.5**0.5), rtol=1e-6)


def test_text_has_to_be_text_and_not_too_many() -> None:
    steps = transforms({TOKENIZER: raw()})
    with pytest.raises(ValueRangeError, match=r"text\[1\]: expected UTF-8 text"):
        steps.preprocess({"text": objects([b"a", b"\xff"])})
    with pytest.raises(ShapeMismatchError, match=f"at most {MAX_TEXTS} texts"):
        steps.preprocess({"text": objects([b""] * (MAX_TEXTS + 1))})
    assert len(steps.preprocess({"text": objects([b"a " * 999])})["tokens"][0]) == MAX_TOKENS


def test_texts_that_are_too_much_work_together_are_refused() -> None:
    steps = transforms({TOKENIZER: raw()})
    fits = MAX_WORK // (2 + TEXT_WORK)
    assert len(steps.preprocess({"text": objects([b""] * fits)})["tokens"]) == fits
    with pytest.raises(ShapeMismatchError, match="split it"):
        steps.preprocess({"text": objects([b""] * (fits + 1))})


def test_tokens_are_counted() -> None:
    def run(_: Any) -> dict[str, Array]:
        return {"last_hidden_state": np.ones((1, 3, 384), np.float32)}

    found = transforms({TOKENIZER: raw()}).apply({"text": objects([b"a a a", b""])}, run)
    assert found["tokens"].tolist() == [5, 2]
