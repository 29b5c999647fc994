"""Words are those of GPT-2's rule, for all of Unicode that Python and the rule agree on."""

import re
import unicodedata

import pytest

from hotplate.generation import words
from hotplate.generation.words import words_of

EVERYTHING = "".join(map(chr, range(0x110000)))


def test_a_letter_is_what_unicode_calls_one() -> None:
    found = {ord(sign) for sign in re.findall(words._LETTER, EVERYTHING)}
    assert found == {code for code, sign in enumerate(EVERYTHING) if unicodedata.category(sign)[0] == "L"}


def test_a_numeral_is_what_unicode_calls_one() -> None:
    found = {ord(sign) for sign in words._NUMERAL.findall(EVERYTHING)}
    assert found == {code for code, sign in enumerate(EVERYTHING) if unicodedata.category(sign)[0] == "N"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("Hello, world", ["Hello", ",", " world"]),
        ("don't I'LL", ["don", "'t", " I", "'", "LL"]),
        ("a  b", ["a", " ", " b"]),
        ("a \n", ["a", " \n"]),
        ("x12 3", ["x", "1", "2", " ", "3"]),
        ("²x _y", ["²", "x", " _", "y"]),
        ("\x1c a", ["\x1c", " a"]),
    ],
)
def test_words_of_a_text(text: str, wanted: list[str]) -> None:
    assert list(words_of(text)) == wanted


def test_joined_words_are_the_text() -> None:
    text = EVERYTHING[:0x3000] + " \n\t 12ab"
    assert "".join(words_of(text)) == text
