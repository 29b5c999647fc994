"""Putting an object: what S3 may answer, over a real socket."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hotplate.aws import s3_writer
from hotplate.aws.s3_writer import S3Writer
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import StoreDeniedError, StoreError, StoreUnavailableError
from hotplate.limits import STORE_ATTEMPTS


@contextmanager
def bucket(*statuses: int) -> Iterator[tuple[S3Writer, list[dict[str, Any]]]]:
    """Answer PUTs with these statuses, the last from then on; 0 hangs up."""
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append({"path": self.path, "body": body, **{k.lower(): v for k, v in self.headers.items()}})
            status = statuses[min(len(came), len(statuses)) - 1]
            if status:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Stay quiet."""

    served = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    try:
        endpoint = f"http://127.0.0.1:{served.server_port}"
        credentials = Credentials("AK", "SK", "token")
        yield S3Writer(bucket="data", region="eu-west-1", endpoint=endpoint, credentials=credentials), came
    finally:
        served.shutdown()
        served.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_writer, "STORE_BACKOFF_S", 0)


def test_object_is_put_signed_with_its_type() -> None:
    with bucket(200) as (writer, came):
        writer.put("outputs/a=b/1", b"body", "application/json")
    (put,) = came
    assert (put["path"], put["body"], put["content-type"]) == (
        "/data/outputs/a%3Db/1",
        b"body",
        "application/json",
    )
    assert put["x-amz-content-sha256"] == hashlib.sha256(b"body").hexdigest()
    assert "content-type;" in put["authorization"]


@pytest.mark.parametrize("status", [500, 503, 429, 0])
def test_fault_that_passes_is_tried_again(status: int) -> None:
    with bucket(status, status, 200) as (writer, came):
        writer.put("k", b"body", "application/json")
    assert [each["body"] for each in came] == [b"body"] * 3


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [
        (403, StoreDeniedError, 1),
        (400, StoreError, 1),
        (503, StoreUnavailableError, STORE_ATTEMPTS),
        (0, StoreUnavailableError, STORE_ATTEMPTS),
    ],
)
def test_fault_that_stays_is_told_apart(status: int, kind: type[StoreError], tries: int) -> None:
    with bucket(status) as (writer, came), pytest.raises(kind) as raised:
        writer.put("k", b"body", "application/json")
    assert type(raised.value) is kind
    assert len(came) == tries


def test_address_is_of_the_object_and_ends() -> None:
    with bucket(200) as (writer, _):
        address = urlsplit(writer.url("outputs/a=b/1", life_s=60))
    query = parse_qs(address.query)
    assert (address.path, query["X-Amz-Expires"]) == ("/data/outputs/a%3Db/1", ["60"])
    assert query["X-Amz-Security-Token"] == ["token"]
