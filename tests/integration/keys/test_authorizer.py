"""The authoriser over tables (moto): who gets in, who does not, and how long a decision is believed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from functions.authorizer import decide
from functions.authorizer.decide import Authoriser, UnauthorizedError
from hotplate.errors import StoreError
from hotplate.tenants.keys import digest_of
from hotplate.tenants.usage import Usage
from tests.support.callers import ROUTES, Tables, add_key, add_tenant, event_of, tables

if TYPE_CHECKING:
    from hotplate.tenants.keys import Key

INFER = ("POST", "/v2/models/digits/infer")


@pytest.fixture
def made() -> Iterator[Tables]:
    with tables() as found:
        add_tenant(found, "acme")
        yield found


@pytest.fixture
def authoriser(made: Tables) -> Authoriser:
    return Authoriser(made.keys, made.ledger)


def why(authoriser: Authoriser, event: dict[str, Any]) -> str:
    with pytest.raises(UnauthorizedError, match=r"^Unauthorized$") as raised:
        authoriser.decide(event)
    return raised.value.why


@pytest.mark.parametrize("header", ["x-api-key", "X-Api-Key", "Authorization", "authorization"])
def test_key_is_taken_from_either_header(made: Tables, authoriser: Authoriser, header: str) -> None:
    key = add_key(made, "acme")
    value = f"Bearer {key}" if header.lower() == "authorization" else key
    decision = authoriser.decide(event_of(*INFER, (header, value)))
    assert (decision.allowed, decision.tenant, decision.usage_key) == (True, "acme", "usage-key-of-acme")


def test_same_key_in_both_headers_is_one_and_two_keys_are_none(made: Tables, authoriser: Authoriser) -> None:
    key, other = add_key(made, "acme"), add_key(made, "acme")
    both = ("x-api-key", key), ("Authorization", f"Bearer {key}")
    assert authoriser.decide(event_of(*INFER, *both)).allowed
    two = ("x-api-key", other), ("Authorization", f"Bearer {key}")
    assert why(authoriser, event_of(*INFER, *two)) == "two credentials"
    twice = ("x-api-key", other), ("x-api-key", key)
    assert why(authoriser, event_of(*INFER, *twice)) == "two credentials"


@pytest.mark.parametrize(
    "header",
    [
        ("x-other", "a"),
        ("x-api-key", ""),
        ("x-api-key", " "),
        ("Authorization", "Basic YTpi"),
        ("Authorization", "Bearer"),
        ("x-api-key", "a" * 10_000),
    ],
    ids=str,
)
def test_what_is_no_credential_is_refused(authoriser: Authoriser, header: tuple[str, str]) -> None:
    assert "credential" in why(authoriser, event_of(*INFER, header))


def test_wrong_revoked_and_expired_keys_are_refused_alike(made: Tables, authoriser: Authoriser) -> None:
    now = int(time.time())
    refused = {
        "no such key": "hp_" + "A" * 43,
        "revoked": add_key(made, "acme", revoked=now - 1),
        "expired": add_key(made, "acme", expires=now - 1),
        "no tenant gone": add_key(made, "gone"),
    }
    for expected, key in refused.items():
        assert why(authoriser, event_of(*INFER, ("x-api-key", key))) == expected


def test_nobody_is_nobody_at_every_route_of_the_template(made: Tables, authoriser: Authoriser) -> None:
    now = int(time.time())
    sent: dict[str, tuple[tuple[str, str], ...]] = {
        "no credential": (),
        "no such key": (("x-api-key", "hp_" + "A" * 43),),
        "revoked": (("x-api-key", add_key(made, "acme", revoked=now - 1)),),
        "expired": (("x-api-key", add_key(made, "acme", expires=now - 1)),),
    }
    for route in ROUTES:
        path = route.resource.replace("{version}", "1").replace("{proxy+}", "some/where")
        for expected, headers in sent.items():
            assert why(authoriser, event_of(route.method, path, *headers)) == expected, route


def test_key_that_will_be_revoked_or_expire_is_good_until_then(made: Tables, authoriser: Authoriser) -> None:
    soon = int(time.time()) + 3600
    for key in (add_key(made, "acme", revoked=soon), add_key(made, "acme", expires=soon)):
        assert authoriser.decide(event_of(*INFER, ("x-api-key", key))).allowed


@pytest.mark.parametrize(
    ("scopes", "method", "path", "allowed"),
    [
        (["infer:digits"], "POST", "/v2/models/digits/infer", True),
        (["infer:digits"], "POST", "/v2/models/digits/versions/1/infer", True),
        (["infer:digits"], "POST", "/v2/models/spam/infer", False),
        (["infer:digits"], "GET", "/v2/models/digits", False),
        (["read:digits"], "POST", "/v2/models/digits/infer", False),
        (["read:digits"], "GET", "/v2/models/digits/versions/1/card", True),
        (["read:digits"], "GET", "/v2/models/digit-features", False),
        (["read:digits"], "GET", "/v1/models", True),
        (["read:digits"], "POST", "/v2/repository/index", True),
        (["read:digits"], "POST", "/v1/embeddings", False),
        (["infer:digits"], "POST", "/v1/embeddings", True),
        (["read:digits"], "POST", "/endpoints/digits/invocations", False),
        (["infer:digits"], "POST", "/endpoints/digits/invocations", True),
        (["infer:digits"], "POST", "/uploads", True),
        (["read:*", "usage:*"], "POST", "/uploads", False),
        (["infer:digits"], "GET", "/openapi.json", False),
        (["read:digits"], "GET", "/openapi.json", True),
        (["read:digits"], "GET", "/ping", True),
        (["read:digits"], "GET", "/usage", False),
        (["usage:*"], "GET", "/usage", True),
        (["usage:*"], "GET", "/v2", False),
        (["*:spam"], "POST", "/v2/models/spam/infer", True),
        (["*:spam"], "POST", "/v2/models/digits/infer", False),
        (["infer:*"], "POST", "/v2/models/sift/infer", True),
        (["infer:digits"], "POST", "/jobs", True),
        (["infer:digits"], "PUT", "/jobs/a", True),
        (["infer:digits"], "GET", "/jobs/a", True),
        (["infer:digits"], "DELETE", "/jobs/a", True),
        (["read:*", "usage:*"], "GET", "/jobs/a", False),
        (["read:*", "usage:*"], "PUT", "/jobs/a", False),
    ],
)
def test_scopes_decide(
    made: Tables, authoriser: Authoriser, scopes: list[str], method: str, path: str, allowed: bool
) -> None:
    key = add_key(made, "acme", scopes)
    assert authoriser.decide(event_of(method, path, ("x-api-key", key))).allowed is allowed


def test_every_route_of_the_template_needs_a_scope_and_one_is_enough(
    made: Tables, authoriser: Authoriser
) -> None:
    keys = {verb: add_key(made, "acme", [f"{verb}:*"]) for verb in ("infer", "read", "usage")}
    for route in ROUTES:
        path = route.resource.replace("{version}", "1").replace("{proxy+}", "some/where")
        event = {verb: event_of(route.method, path, ("x-api-key", key)) for verb, key in keys.items()}
        allowed = [verb for verb in keys if authoriser.decide(event[verb]).allowed]
        assert len(allowed) == 1, route


@pytest.mark.parametrize("resource", ["/admin", "/v20/models", "/usage/all", "/", ""])
def test_route_that_nobody_knows_is_denied_to_everybody(
    made: Tables, authoriser: Authoriser, resource: str
) -> None:
    event = {**event_of(*INFER, ("x-api-key", add_key(made, "acme"))), "resource": resource}
    assert not authoriser.decide(event).allowed


def test_revocation_holds_after_what_was_read_is_believed_no_more(
    made: Tables, authoriser: Authoriser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decide.BELIEVED_S <= 60
    key = add_key(made, "acme")
    event = event_of(*INFER, ("x-api-key", key))
    assert authoriser.decide(event).allowed
    made.keys.revoke(digest_of(key), int(time.time()) - 1)
    assert authoriser.decide(event).allowed, "read a moment ago"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + decide.BELIEVED_S + 1)
    assert why(authoriser, event) == "revoked"


def test_nobody_gets_in_while_the_tables_cannot_be_read(made: Tables, authoriser: Authoriser) -> None:
    key = add_key(made, "acme")
    made.client.delete_table(TableName="KeyTable")
    with pytest.raises(StoreError):
        authoriser.decide(event_of(*INFER, ("x-api-key", key)))


def used(requests: int, nano_usd: int) -> list[Usage]:
    rest = {
        "status": 200,
        "rows": 1,
        "bytes_in": 1,
        "bytes_out": 1,
        "billed_ms": 1,
        "init_ms": 0,
        "cold": False,
    }
    first, *more = [
        Usage(f"r{n}", time.time(), "acme", "digits", "1", nano_usd=0 if n else nano_usd, **rest)  # type: ignore[arg-type]
        for n in range(requests)
    ]
    return [first, *more]


@pytest.mark.parametrize(
    ("limits", "spent"),
    [
        ({}, ""),
        ({"quota": 4}, ""),
        ({"quota": 3}, "quota"),
        ({"budget_nano_usd": 501}, ""),
        ({"budget_nano_usd": 500}, "budget"),
        ({"quota": 1, "budget_nano_usd": 1}, "budget"),
    ],
    ids=str,
)
def test_month_that_is_used_up_is_told_to_the_function_and_usage_can_still_be_asked(
    made: Tables, authoriser: Authoriser, limits: dict[str, int], spent: str
) -> None:
    add_tenant(made, "acme", **limits)
    made.ledger.record(used(3, 500))
    key = add_key(made, "acme")
    decision = authoriser.decide(event_of(*INFER, ("x-api-key", key)))
    assert (decision.allowed, decision.spent) == (True, spent)
    assert bool(decision.spent_text) is bool(spent)
    assert authoriser.decide(event_of("GET", "/usage", ("x-api-key", key))).spent == ""


def test_time_of_a_wrong_key_tells_nothing_of_the_right_one(made: Tables) -> None:
    right = add_key(made, "acme")
    kept = made.keys.key(digest_of(right))

    class Memory:
        def key(self, sha256: str) -> Key | None:
            return kept if kept and kept.sha256 == sha256 else None

    authoriser = Authoriser(Memory(), made.ledger)  # type: ignore[arg-type]
    wrong = ["hp_" + "-" * 43, right[:-1] + ("A" if right[-1] != "A" else "B")]
    events = [event_of(*INFER, ("x-api-key", key)) for key in wrong]
    took: list[list[int]] = [[], []]
    for _ in range(3000):
        for event, times in zip(events, took, strict=True):
            started = time.thread_time_ns()
            with suppress(UnauthorizedError):
                authoriser.decide(event)
            times.append(time.thread_time_ns() - started)
    # The quick ones: what interrupted the others was not the key.
    nothing, nearly_all = (statistics.quantiles(times, n=10)[0] for times in took)
    assert abs(nothing - nearly_all) < 0.1 * nearly_all


def test_table_is_asked_by_the_digest_of_the_whole_key_only(made: Tables) -> None:
    asked: list[str] = []

    class Spy:
        def key(self, sha256: str) -> None:
            asked.append(sha256)

    spied = Authoriser(Spy(), made.ledger)  # type: ignore[arg-type]
    for key in ("hp_a", "hp_b"):
        assert why(spied, event_of(*INFER, ("x-api-key", key))) == "no such key"
    assert asked == [digest_of("hp_a"), digest_of("hp_b")]
