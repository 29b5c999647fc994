"""Keys of inputs, messages, and what makes a run one run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hotplate.aws.batch_files import InputKey, read_key
from hotplate.aws.batch_queue import Created, PieceMessage, RunMessage, read_message
from hotplate.aws.batch_rows import run_id
from tests.support.batch import created

ASKED: dict[str, Any] = {
    "bucket": "b",
    "key": "in/a/m/f",
    "etag": "e",
    "size": 1,
    "model": "m",
    "version": "v",
    "options": "{}",
}


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("in/acme/m/f.csv", InputKey("acme", "m", "f.csv")),
        ("in/iam=3A1/m/sub/f.csv", InputKey("iam:1", "m", "sub/f.csv")),
        ("in/-/m/a b+c%2F中.csv", InputKey("-", "m", "a b+c%2F中.csv")),
        ("in/iam:1/m/f.csv", None),
        ("in/acme/m", None),
        ("in/acme/m/", None),
        ("in//m/f.csv", None),
        ("out/acme/m/f.csv", None),
    ],
)
def test_key_says_tenant_model_and_file(key: str, found: InputKey | None) -> None:
    assert read_key(key) == found


@pytest.mark.parametrize("message", [RunMessage("split", "r", 2), PieceMessage("r", 3, 1, 0, "{}", 4)])
def test_message_is_read_as_it_was_written(message: RunMessage | PieceMessage) -> None:
    assert read_message(msgspec.json.encode(message).decode()) == message


@pytest.mark.parametrize(
    ("encoded", "key"), [("in/a+b", "in/a b"), ("in/a%2Bb", "in/a+b"), ("in/a%252Fb", "in/a%2Fb")]
)
def test_key_in_an_event_is_decoded_once(encoded: str, key: str) -> None:
    assert read_message(created("", "e", 1, encoded=encoded)) == [Created("data", key, "e", 1)]


@pytest.mark.parametrize("body", ["", "[]", "x", '{"chunk": 1}'])
def test_what_is_no_message_is_refused(body: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_message(body)


@pytest.mark.parametrize("name", ASKED)
def test_run_is_another_if_anything_of_it_is(name: str) -> None:
    other = {**ASKED, name: 2 if name == "size" else "other"}
    assert run_id(**ASKED) == run_id(**ASKED) != run_id(**other)
