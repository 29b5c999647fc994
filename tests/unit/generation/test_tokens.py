"""Tokens: merges by rank, marks never out of text, bounded work."""

import time
from typing import Any

import pytest

from hotplate.generation.tokens import Tokeniser
from tests.support.tiny_llama import END, signs, tokenizer

TOKENISER = Tokeniser(tokenizer())


def shown(text: str, tokeniser: Tokeniser = TOKENISER) -> list[bytes]:
    return [tokeniser.bytes_of(index) for index in tokeniser.encode(text, 1 << 30)]


def test_pairs_are_merged_by_rank() -> None:
    assert shown("hello hellx") == [b"hello", b" ", b"hell", b"x"]


def test_of_equal_pairs_the_first_is_merged_first() -> None:
    assert shown("aaa", Tokeniser(tokenizer(merges=("a a",)))) == [b"aa", b"a"]


def test_a_later_merge_takes_what_an_earlier_one_made() -> None:
    assert shown("abcd", Tokeniser(tokenizer(merges=("c d", "b cd", "a b")))) == [b"a", b"bcd"]


def test_every_text_comes_back() -> None:
    text = "héllo 東京 😀\n\x00 12"
    assert TOKENISER.decode(TOKENISER.encode(text, 1 << 30)) == text


def test_a_mark_in_a_text_is_text() -> None:
    assert TOKENISER.marks[END] not in TOKENISER.encode(f"a {END} b", 1 << 30)
    assert TOKENISER.bytes_of(TOKENISER.marks[END]) == b""


def test_an_id_without_a_token_is_nothing() -> None:
    assert TOKENISER.bytes_of(100_000) == b""


def test_a_byte_without_a_token_is_left_out_before_merging() -> None:
    document = tokenizer(merges=("a b",))
    del document["model"]["vocab"][signs()[1]]
    document["model"]["vocab"] = {word: at for at, word in enumerate(document["model"]["vocab"])}
    assert shown("a\x01b", Tokeniser(document)) != [b"a", b"\x01", b"b"]


def test_no_more_is_read_than_asked_for() -> None:
    assert 10 <= len(TOKENISER.encode("hello there " * 1000, 10)) < 20


def test_a_long_word_takes_no_more_than_its_length() -> None:
    tokeniser = Tokeniser(tokenizer(merges=("a a", "aa aa", "b a")))
    started = time.perf_counter()
    assert len(tokeniser.encode("ab" * 30_000, 1 << 30)) > 1000
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "ByteLevel"}},
        {"model": {"type": "WordPiece"}},
    ],
)
def test_another_kind_of_tokenizer_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="byte-level BPE"):
        Tokeniser(tokenizer() | change)
