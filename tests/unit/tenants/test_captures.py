"""Where kept requests lie, and what is left out of them."""

from __future__ import annotations

import re

import pytest

from hotplate.http.captures import is_sampled
from hotplate.tenants.captures import REDACTED, capture_key, redacted, subject_prefix


def test_all_that_is_about_a_subject_of_a_tenant_lies_in_one_folder_that_does_not_name_it() -> None:
    prefix = subject_prefix("acme", "jane@example.com")
    assert re.fullmatch(r"captures/acme/[0-9a-f]{32}/", prefix)
    key = capture_key("acme", "jane@example.com", "digits", "r-1", 1_795_860_000)
    assert key == f"{prefix}digits/2026-11-28/r-1.json"


def test_subjects_tenants_and_nobody_are_kept_apart() -> None:
    pairs = [("acme", "a"), ("acme", "b"), ("globex", "a"), ("acme", ""), ("iam:1", "a"), ("..", "a")]
    prefixes = [subject_prefix(*pair) for pair in pairs]
    assert len(set(prefixes)) == len(pairs)
    assert not any(one != other and one.startswith(other) for one in prefixes for other in prefixes)
    assert all(len(prefix.split("/")) == 4 and ".." not in prefix.split("/") for prefix in prefixes)


@pytest.mark.parametrize(
    "name",
    ["password", "Passwd", "client_secret", "access_token", "apiKey", "api-key", "Authorization", "cookie"],
)
def test_members_whose_names_look_like_secrets_are_left_out(name: str) -> None:
    assert redacted({"a": [{name: "x", "b": 1}]}) == {"a": [{name: REDACTED, "b": 1}]}


def test_other_members_stay() -> None:
    node = {"inputs": [{"name": "tokenizer", "data": [1, None, "secret"]}], "keyboard": True}
    assert redacted(node) == node


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 1])
def test_share_that_is_kept_is_the_one_that_was_said(share: float) -> None:
    kept = sum(is_sampled(f"8f14e45f-ceea-467f-a83b-{number:012x}", share) for number in range(4000))
    assert abs(kept / 4000 - share) < 0.03
    assert is_sampled("r", 1)
    assert not is_sampled("r", 0)
