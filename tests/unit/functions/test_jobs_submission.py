"""What a submission of a job is, and what of its caller the model is told."""

from __future__ import annotations

import json

import pytest

from functions.jobs.submission import caller_context, read_id, read_submission
from hotplate.errors import JobNotFoundError, MalformedRequestError


def test_request_is_kept_byte_by_byte() -> None:
    asked = read_submission(b'{"request": {"x":  1.10, "y": 12345678901234567890123}, "model": "m"}')
    assert bytes(asked.request) == b'{"x":  1.10, "y": 12345678901234567890123}'
    assert (asked.model, asked.version) == ("m", "")


def test_digest_tells_apart_what_is_asked() -> None:
    bodies = [
        b'{"model": "m", "request": {}}',
        b'{"model": "n", "request": {}}',
        b'{"model": "m", "request": {"x": 1}}',
        b'{"model": "m", "version": "1", "request": {}}',
    ]
    digests = [read_submission(body).digest for body in bodies]
    assert len(set(digests)) == len(bodies)
    assert read_submission(b'{"request": {}, "model": "m"}').digest == digests[0]


@pytest.mark.parametrize("text", ["a", "order-17", "9" * 63])
def test_id_is_letters_digits_and_marks(text: str) -> None:
    assert read_id(text, new=True) == text


@pytest.mark.parametrize("text", ["", "-a", "a/b", "a b", "é", "9" * 64])
def test_what_can_be_no_id_is_malformed_or_not_there(text: str) -> None:
    with pytest.raises(MalformedRequestError):
        read_id(text, new=True)
    with pytest.raises(JobNotFoundError):
        read_id(text, new=False)


@pytest.mark.parametrize(
    ("context", "kept"),
    [
        ({}, {}),
        ({"identity": {"accountId": None}}, {}),
        ({"identity": {"accountId": "1"}, "path": "/jobs"}, {"identity": {"accountId": "1"}}),
        (
            {"authorizer": {"tenant": "t", "scopes": "s", "key": "k", "spent": "quota", "principalId": "p"}},
            {"authorizer": {"tenant": "t", "scopes": "s", "key": "k"}},
        ),
    ],
)
def test_model_is_told_who_pays_and_no_more(context: dict[str, object], kept: dict[str, object]) -> None:
    assert json.loads(caller_context({"requestContext": context})) == kept
