from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hotplate.errors import MalformedRequestError
from hotplate.protocol.json_document import excerpt, fields, holds_more_arrays, mapping, parse

# A document that only the second reader takes: an integer of more than 64 bits.
WIDE = "18446744073709551616"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  ",
        b"{",
        b"{}{}",
        b"{}\x00",
        b"nul",
        b"[1,]",
        b"[01]",
        b"[1.]",
        b"[+1]",
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e400]",
        b"[1" + b"0" * 400 + b"]",
        b"[1" + b"0" * 5000 + b"]",
        b'"\xff"',
        b'"\\ud800"',
        b'"\t"',
        "{}".encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 2000 + b"]" * 2000,
    ],
    ids=lambda raw: repr(raw[:16]),
)
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        parse(raw)
    assert (
        refused.value.expected
        == "JSON in UTF-8 (binary data behind it needs the header Inference-Header-Content-Length)"
    )
    assert len(refused.value.received) < 120


@pytest.mark.parametrize("tail", ["NaN", '"\\ud800"', "[1e400]"])
def test_second_reader_is_as_strict_as_the_first(tail: str) -> None:
    with pytest.raises(MalformedRequestError):
        parse(f"[{WIDE}, {tail}]".encode())


def test_integers_beyond_64_bits_stay_exact() -> None:
    assert parse(f"[{WIDE}, -{WIDE}]".encode()) == [2**64, -(2**64)]


@pytest.mark.parametrize("other", ["1", WIDE], ids=["first reader", "second reader"])
def test_member_that_comes_twice_is_refused(other: str) -> None:
    raw = f'{{"a": {other}, "b": 2, "a": 3}}'.encode()
    with pytest.raises(MalformedRequestError, match="got a member twice"):
        fields(parse(raw), ("b",), what="it")
    with pytest.raises(MalformedRequestError, match="got a member twice"):
        mapping(parse(raw), what="it")


@pytest.mark.parametrize("other", ["1", WIDE], ids=["first reader", "second reader"])
def test_only_known_members_are_given_and_null_counts_as_absent(other: str) -> None:
    raw = f'{{"a": {other}, "b": "t", "c": null, "b\\u0000": 5}}'.encode()
    assert fields(parse(raw), ("b", "c", "d"), what="it") == {"b": "t"}


@pytest.mark.parametrize("other", ["1", WIDE], ids=["first reader", "second reader"])
def test_mapping_is_python_all_the_way_down(other: str) -> None:
    raw = f'{{"a": [{other}, {{"b": null}}]}}'.encode()
    assert mapping(parse(raw), what="it") == {"a": [int(other), {"b": None}]}


@pytest.mark.parametrize("raw", [b"[]", b"1", b"null", b'"a"', f"[{WIDE}]".encode()])
def test_what_is_no_object_has_no_members(raw: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        fields(parse(raw), ("a",), what="it")
    with pytest.raises(MalformedRequestError):
        mapping(parse(raw), what="it")


def test_documents_outlive_their_parser_and_stay_apart() -> None:
    documents = [parse(b'{"n": [%d]}' % n) for n in range(50)]
    assert [document["n"].as_list() for document in documents] == [[n] for n in range(50)]


def test_threads_do_not_share_a_parser() -> None:
    def read(n: int) -> bool:
        document = parse(b'{"n": [' + b"%d," % n * 500 + b"0]}")
        return bool(document["n"].as_list() == [n] * 500 + [0])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (1.5, "1.5"),
        ("a", "'a'"),
        ([1], "an array"),
        ({}, "an object"),
        ("s" * 61, repr("s" * 60) + "..."),
        (10**100, "1" + "0" * 59 + "..."),
    ],
)
def test_excerpt_is_short(node: Any, words: str) -> None:
    assert excerpt(node) == words


@pytest.mark.parametrize(
    ("raw", "seen", "more"),
    [(b"{}", 0, False), (b"[[]]", 1, True), (b"[[]]", 2, False), (b'["["]', 1, True), (b"[[][]]", 1, True)],
)
def test_brackets_beyond_those_seen_are_noticed(raw: bytes, seen: int, more: bool) -> None:
    assert holds_more_arrays(raw, seen) is more
