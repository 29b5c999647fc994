"""Credentials come from the environment, or from the place that it names, and from nowhere else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from botocore.credentials import ContainerProvider

from hotplate.aws.credentials import current_credentials
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import SettingsError, StoreUnavailableError

GIVEN = {
    "AccessKeyId": "ASIA",
    "SecretAccessKey": "secret",
    "Token": "token",
    "Expiration": "2099-01-01T00:00:00Z",
}


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    """Yield an address that answers so whoever brings the token `right`, and 403 to others."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self.send_response(status if self.headers["Authorization"] == "right" else 403)
            self.end_headers()
            self.wfile.write(body)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/2021/credentials"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def environ(uri: str, token: str) -> dict[str, str]:
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": token}


def test_keys_in_the_environment_are_taken() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}
    with answering(json.dumps(GIVEN).encode()) as uri:
        assert current_credentials(keys | environ(uri, "right")) == Credentials("AK", "SK", None)


def test_place_gives_what_botocore_gets_from_it() -> None:
    with answering(json.dumps(GIVEN).encode()) as uri:
        ours = current_credentials(environ(uri, "right"))
        theirs = ContainerProvider(environ(uri, "right")).load()
        assert theirs
        assert ours == tuple(theirs.get_frozen_credentials())[:3]


def test_no_credentials_at_all_are_named() -> None:
    with pytest.raises(SettingsError, match="AWS_ACCESS_KEY_ID"):
        current_credentials({})


@pytest.mark.parametrize(
    "uri",
    ["http://example.com/", "http://8.8.8.8/", "https://127.0.0.1/", "file:///etc/passwd", "127.0.0.1", ""],
)
def test_place_that_is_not_this_machine_is_never_asked(uri: str) -> None:
    with pytest.raises(SettingsError, match="not an http address of this machine"):
        current_credentials(environ(uri, "right"))


@pytest.mark.parametrize(
    ("body", "status", "token", "words"),
    [
        (b"{}", 200, "right", "AccessKeyId"),
        (b"<html>", 200, "right", "no credentials"),
        (json.dumps(GIVEN).encode(), 500, "right", "answered 500"),
        (json.dumps(GIVEN).encode(), 200, "wrong", "answered 403"),
    ],
)
def test_place_that_gives_none_is_a_passing_fault(body: bytes, status: int, token: str, words: str) -> None:
    with answering(body, status) as uri, pytest.raises(StoreUnavailableError, match=words) as fault:
        current_credentials(environ(uri, token))
    assert "secret" not in str(fault.value)


def test_place_that_nobody_listens_at_is_a_passing_fault() -> None:
    with answering(b"") as uri:
        pass
    with pytest.raises(StoreUnavailableError, match="ConnectionRefused"):
        current_credentials(environ(uri, "right"))


def test_path_of_a_container_is_asked_at_the_one_host_that_gives_them_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = json.dumps(GIVEN).encode()
    with answering(body) as uri:
        monkeypatch.setattr("hotplate.aws.credentials._PATH_HOST", uri)
        told = {
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/of-the-role",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "right",
        }
        assert current_credentials(told) == Credentials("ASIA", "secret", "token")


def test_host_that_gives_out_credentials_is_botocores() -> None:
    from botocore.utils import ContainerMetadataFetcher

    from hotplate.aws.credentials import _PATH_HOST

    assert f"http://{ContainerMetadataFetcher.IP_ADDRESS}" == _PATH_HOST
