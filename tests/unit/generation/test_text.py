"""Text leaves when it is sure: whole characters, and never the beginning of a stop string."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotplate.generation.text import TextStream


def pieces(parts: list[bytes], *stops: str) -> tuple[list[str], bool]:
    stream = TextStream(stops)
    given_out = [stream.feed(part) for part in parts]
    return [*given_out, stream.finish()], stream.stopped


def test_a_character_leaves_when_it_is_whole() -> None:
    raw = "é😀".encode()
    assert pieces([raw[at : at + 1] for at in range(len(raw))])[0] == ["", "é", "", "", "", "😀", ""]


def test_an_unfinished_character_is_marked_as_such() -> None:
    assert pieces([b"a\xf0\x9f"])[0] == ["a", "\ufffd"]


def test_a_stop_string_lies_across_tokens() -> None:
    assert pieces([b"one S", b"TO", b"P two"], "STOP") == (["one ", "", "", ""], True)


def test_what_might_have_been_a_stop_string_comes_after_all() -> None:
    assert pieces([b"a ST", b"ART"], "STOP") == (["a ", "START", ""], False)
    assert pieces([b"a ST"], "STOP") == (["a ", "ST"], False)


def test_the_first_of_several_stop_strings_ends_it() -> None:
    assert pieces([b"abcdef"], "ef", "cd")[0] == ["ab", ""]


def test_nothing_comes_after_a_stop_string() -> None:
    assert pieces([b"a.b", b"c"], ".") == (["a", "", ""], True)


def test_a_stop_string_of_unfinished_characters_is_found_at_the_end() -> None:
    assert pieces([b"ab\xf0"], "\ufffd") == (["ab", ""], True)


@given(
    st.text(alphabet="abé😀.", max_size=30),
    st.lists(st.integers(0, 60), max_size=8),
    st.sampled_from(["ab", "é.", "aab", "😀"]),
)
def test_however_it_is_cut_the_text_is_the_same(text: str, cuts: list[int], stop: str) -> None:
    raw = text.encode()
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    parts = [raw[start:end] for start, end in itertools.pairwise(places)]
    found, stopped = pieces(parts, stop)
    assert "".join(found) == text.partition(stop)[0]
    assert stopped == (stop in text)


@pytest.mark.parametrize("stop", ["x", "xyz"])
def test_without_one_everything_comes(stop: str) -> None:
    assert "".join(pieces([b"ab", b"c"], stop)[0]) == "abc"
