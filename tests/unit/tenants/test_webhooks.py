"""Who may be told of a job, and how what is told is signed."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from hotplate.errors import MalformedRequestError
from hotplate.tenants.webhooks import MAX_URL_CHARS, is_public, new_secret, read_webhook, sign

# Source: Standard Webhooks, the reference libraries' own test.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

PAGE = Path(__file__).parents[3] / "docs" / "16-jobs.md"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://hooks.example.com:8443/a/b?c=d",
        "https://8.8.8.8/a",
        "https://[2606:4700:4700::1111]/",
        "https://xn--bcher-kva.example/",
    ],
)
def test_servers_that_anybody_can_reach_are_receivers(url: str) -> None:
    assert read_webhook(url, anywhere=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "http://example.com",
        "ftp://example.com",
        "https://",
        "https://localhost/",
        "https://a.localhost/",
        "https://metadata.internal/",
        "https://printer.local/",
        "https://intranet/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00::1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[::1",
        "https://example.com:99999/",
        "https://user:secret@example.com/",
        "https://example.com/#a",
        "https://example.com/a b",
        "https://example.com/\r\nx: y",
        "https://exämple.com/",
        f"https://example.com/{'a' * MAX_URL_CHARS}",
    ],
)
def test_nobody_else_is(url: str) -> None:
    with pytest.raises(MalformedRequestError, match="webhook"):
        read_webhook(url, anywhere=False)


@pytest.mark.parametrize(("url", "fits"), [("http://127.0.0.1:80/a", True), ("https://intranet/", True)])
def test_on_the_local_cloud_any_server_is(url: str, fits: bool) -> None:
    assert (read_webhook(url, anywhere=True) == url) is fits


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://", "http://a@127.0.0.1/", "x"])
def test_on_the_local_cloud_too_it_is_an_address(url: str) -> None:
    with pytest.raises(MalformedRequestError):
        read_webhook(url, anywhere=True)


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("224.0.0.1", False), ("100.64.0.1", False), ("0.0.0.1", False), ("::", False)],
)
def test_address_is_public_or_not(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_signature_is_that_of_the_specification() -> None:
    assert sign(SECRET, message=MESSAGE, at=AT, body=BODY) == SIGNATURE


def test_each_part_is_signed_and_each_secret_is_another() -> None:
    good = {"secret": SECRET, "message": MESSAGE, "at": AT, "body": BODY}
    for changed in ({"secret": new_secret()}, {"message": "x"}, {"at": AT + 1}, {"body": BODY + b" "}):
        given: dict[str, Any] = good | changed
        secret = given.pop("secret")
        assert sign(secret, **given) != SIGNATURE
    assert len(base64.b64decode(new_secret().removeprefix("whsec_"))) == 32
    assert new_secret() != new_secret()


def receiver_of_the_docs() -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - the page's own example
    return names["is_genuine"]


@pytest.mark.parametrize(
    ("change", "genuine"),
    [
        ({}, True),
        ({"webhook-signature": f"v1,AAAA {SIGNATURE}"}, True),
        ({"webhook-signature": "v1,AAAA"}, False),
        ({"webhook-id": "other"}, False),
        ({"webhook-timestamp": str(AT - 301)}, False),
    ],
)
def test_example_of_a_receiver_in_the_docs_takes_what_is_genuine(
    change: dict[str, str], genuine: bool
) -> None:
    headers = {"webhook-id": MESSAGE, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}
    assert receiver_of_the_docs()(SECRET, headers | change, BODY, now=AT + 1) is genuine
    assert receiver_of_the_docs()(SECRET, headers | change, BODY + b" ", now=AT + 1) is False


def test_example_of_a_receiver_in_the_docs_refuses_what_is_old() -> None:
    headers = {"webhook-id": MESSAGE, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}
    assert receiver_of_the_docs()(SECRET, headers, BODY, now=AT + 301) is False
