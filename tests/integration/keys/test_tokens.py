"""Tokens of an identity provider: a real one on the loopback, with real signatures."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from functions.authorizer.decide import Authoriser, UnauthorizedError
from functions.authorizer.tokens import TokenReader
from hotplate.errors import SettingsError
from tests.support.callers import Tables, add_key, add_tenant, event_of, tables

INFER = ("POST", "/v2/models/digits/infer")


@dataclass
class Provider:
    """An issuer whose keys are at `url`."""

    url: str = ""
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    fetched: int = 0

    def token(self, key: str = "k1", algorithm: str = "ES256", **claims: Any) -> str:
        whole = {
            "iss": "https://issuer.example",
            "aud": "hotplate",
            "exp": int(time.time()) + 600,
            "tenant": "acme",
            "scope": "openid infer:digits",
            **claims,
        }
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(kept, self.keys[key], algorithm=algorithm, headers={"kid": key})


@pytest.fixture
def provider() -> Iterator[Provider]:
    own = Provider(keys={"k1": ec.generate_private_key(ec.SECP256R1())})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            own.fetched += 1
            keys = [
                {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}
                for name, key in own.keys.items()
                if name != "not published"
            ]
            body = json.dumps({"keys": keys}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    own.url = f"http://127.0.0.1:{server.server_port}/keys"
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def made() -> Iterator[Tables]:
    with tables() as found:
        add_tenant(found, "acme")
        yield found


@pytest.fixture
def authoriser(made: Tables, provider: Provider) -> Authoriser:
    reader = TokenReader("https://issuer.example", "hotplate", provider.url)
    return Authoriser(made.keys, made.ledger, reader)


def ask(authoriser: Authoriser, token: str, *wanted: str) -> Any:
    method, path = wanted or INFER
    return authoriser.decide(event_of(method, path, ("Authorization", f"Bearer {token}")))


def test_good_token_is_a_key_of_its_tenant_with_its_scopes(
    authoriser: Authoriser, provider: Provider
) -> None:
    token = provider.token()
    decision = ask(authoriser, token)
    assert (decision.allowed, decision.tenant, decision.scopes, decision.key) == (
        True,
        "acme",
        "infer:digits",
        "",
    )
    assert not ask(authoriser, token, "POST", "/v2/models/spam/infer").allowed
    assert not ask(authoriser, token, "GET", "/v2").allowed


def test_keys_work_beside_tokens(authoriser: Authoriser, made: Tables) -> None:
    assert ask(authoriser, add_key(made, "acme")).allowed


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"aud": "another"},
        {"exp": 1},
        {"exp": None},
        {"aud": None},
        {"tenant": None},
        {"tenant": "no such tenant"},
        {"tenant": "gone"},
        {"tenant": ["acme"]},
        {"nbf": 9_999_999_999},
    ],
    ids=str,
)
def test_token_with_wrong_claims_is_refused(
    authoriser: Authoriser, provider: Provider, claims: dict[str, Any]
) -> None:
    with pytest.raises(UnauthorizedError):
        ask(authoriser, provider.token(**claims))


def test_token_of_a_scope_that_is_none_may_nothing(authoriser: Authoriser, provider: Provider) -> None:
    for scope in (None, "", "openid profile", 7, ["x"]):
        assert not ask(authoriser, provider.token(scope=scope)).allowed


def test_forged_tokens_are_refused(authoriser: Authoriser, provider: Provider) -> None:
    good = provider.token()
    head, body, signature = good.split(".")
    unsigned = jwt.encode(jwt.decode(good, options={"verify_signature": False}), "", algorithm="none")
    provider.keys["not published"] = ec.generate_private_key(ec.SECP256R1())
    by_another = jwt.encode(
        jwt.decode(good, options={"verify_signature": False}),
        provider.keys["not published"],
        algorithm="ES256",
        headers={"kid": "k1"},
    )
    symmetric = jwt.encode(
        jwt.decode(good, options={"verify_signature": False}),
        "x" * 32,
        algorithm="HS256",
        headers={"kid": "k1"},
    )
    for token in (unsigned, by_another, symmetric, f"{head}.{body}.", f"{head}.{body}x.{signature}", "a.b.c"):
        with pytest.raises(UnauthorizedError):
            ask(authoriser, token)


def test_keys_are_fetched_once_and_again_for_a_new_one_but_not_for_each_that_is_invented(
    authoriser: Authoriser, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        ask(authoriser, provider.token(sub=str(number)))
    assert provider.fetched == 1
    provider.keys["not published"] = ec.generate_private_key(ec.SECP256R1())
    for _ in range(5):
        with pytest.raises(UnauthorizedError):
            ask(authoriser, provider.token("not published"))
    assert provider.fetched == 1
    provider.keys["k2"] = ec.generate_private_key(ec.SECP256R1())
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 11)
    assert ask(authoriser, provider.token("k2")).allowed
    assert provider.fetched == 2


def test_nobody_gets_in_while_the_issuer_does_not_answer(made: Tables, provider: Provider) -> None:
    reader = TokenReader("https://issuer.example", "hotplate", "http://127.0.0.1:9/keys")
    with pytest.raises(UnauthorizedError):
        ask(Authoriser(made.keys, made.ledger, reader), provider.token())


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"HOTPLATE_JWT_ISSUER": "https://i"}, "AUDIENCE"),
        ({"HOTPLATE_JWT_ISSUER": "http://i", "HOTPLATE_JWT_AUDIENCE": "a"}, "https"),
    ],
    ids=["no audience", "no https"],
)
def test_settings_that_let_anybody_make_tokens_stop_the_function(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        TokenReader.from_environ(environ)
    assert TokenReader.from_environ({}) is None
