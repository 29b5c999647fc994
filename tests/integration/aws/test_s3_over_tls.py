"""Whose certificates are believed by who reads from S3, calls functions and keeps answers."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hotplate.aws import roots
from hotplate.aws.function_streams import FunctionStreams
from hotplate.aws.functions import FunctionCaller
from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.s3_writer import S3Writer
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import StepUnavailableError, StoreUnavailableError
from tests.support.authority import Authority
from tests.support.event_streams import completed, part
from tests.support.faulty_s3 import BUCKET, faulty_s3

BODY = bytes(range(256)) * 4000


class Believed:
    """What the reader believes in a test: AWS's authority is `aws`, the system has `others` as well."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.aws, self.other = Authority(folder, "aws"), Authority(folder, "other")
        self.unknown = Authority(folder, "unknown")
        self.systems_read = 0
        patch.setattr(roots, "ROOTS", self.aws.file)
        patch.setattr(roots, "_system", self._system)
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.delenv("SSL_CERT_DIR", raising=False)

    def _system(self) -> ssl.SSLContext:
        self.systems_read += 1
        context = ssl.create_default_context(cafile=str(self.aws.file))
        context.load_verify_locations(self.other.file)
        return context


@pytest.fixture
def believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Believed:
    return Believed(tmp_path, monkeypatch)


def read(server: ssl.SSLContext, *, deadline_s: float = 20.0) -> bytes:
    """Return what a reader gets of an S3 with this certificate: a small object, and the same by a range."""
    with faulty_s3(server) as s3:
        s3.objects["key"] = BODY
        reader = S3Reader(
            bucket=BUCKET,
            region="us-east-1",
            endpoint=s3.endpoint,
            credentials=Credentials("AK", "SK", None),
            deadline_s=deadline_s,
        )
        try:
            into = bytearray(len(BODY))
            reader.read_range("key", start=0, into=memoryview(into), object_bytes=len(BODY))
            assert reader.read_small("key", max_bytes=len(BODY)) == into
        finally:
            reader.close()
        return bytes(into)


def test_hosts_of_aws_are_believed_without_the_systems_authorities(believed: Believed) -> None:
    assert read(believed.aws.server) == BODY
    assert believed.systems_read == 0


def test_another_host_is_believed_by_the_systems_authorities_which_are_read_once(believed: Believed) -> None:
    assert read(believed.other.server) == BODY
    assert believed.systems_read == 1


def test_a_host_that_nobody_signed_is_refused(believed: Believed) -> None:
    with pytest.raises(StoreUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        read(believed.unknown.server, deadline_s=2)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_authorities_that_the_environment_names_are_the_only_ones(
    believed: Believed, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots, "_system", lambda: ssl.create_default_context(cafile=str(believed.other.file)))
    monkeypatch.setenv(variable, str(believed.other.file))
    assert read(believed.other.server) == BODY
    with pytest.raises(StoreUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        read(believed.aws.server, deadline_s=2)


def test_a_thread_that_began_with_less_trust_tries_again_with_all_of_it(
    believed: Believed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may have read the system's authorities while this one shook hands without them."""
    trust, tried = roots.Trust(), list[str]()

    def secured(self: roots.Trust, plain: socket.socket, host: str, _: object) -> str:
        tried.append(host)
        if len(tried) == 1:
            self._is_whole = True
            raise ssl.SSLCertVerificationError("nobody who is believed signed it")
        return "connected"

    monkeypatch.setattr(roots.Trust, "_secured", secured)
    with socket.socket() as plain:
        connected: object = trust.secured(lambda: plain, "s3", roots.wrapped)
    assert (connected, tried) == ("connected", ["s3", "s3"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT  # noqa: N815 - the base class's name

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def echo(server: ssl.SSLContext) -> Iterator[str]:
    """Serve what answers with what it is sent; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.handle_error = lambda *_: None  # type: ignore[method-assign] # of those who do not believe
        listening.socket = server.wrap_socket(
            listening.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(("who", "systems_read"), [("aws", 0), ("other", 1)])
def test_who_sends_bodies_believes_the_same(believed: Believed, who: str, systems_read: int) -> None:
    with echo(getattr(believed, who).server) as url:
        keys = Credentials("AK", "SK", None)
        caller = FunctionCaller(region="us-east-1", endpoint=url, credentials=lambda: keys, timeout_s=5)
        try:
            assert caller.call("f", b"{}") == b"{}"
            assert caller.call("f", b"{}") == b"{}"
        finally:
            caller.close()
        assert believed.systems_read == systems_read
        # What is sent comes back, so it is what Lambda would answer.
        said = part(b'{"statusCode":200}' + bytes(8)) + part(b"body") + completed()
        streams = FunctionStreams(region="us-east-1", endpoint=url, credentials=lambda: keys)
        try:
            for _ in range(2):
                answer = streams.begin("f", said, timeout_s=5)
                assert (answer.status, [*answer.chunks(lambda: 5)]) == (200, [b"body"])
        finally:
            streams.close()
        assert believed.systems_read == 2 * systems_read
        writer = S3Writer(bucket=BUCKET, region="us-east-1", endpoint=url, credentials=keys)
        writer.put("key", b"body", "text/plain")
        writer.put("key", b"body", "text/plain")
        assert believed.systems_read == 3 * systems_read


def test_who_sends_bodies_refuses_a_host_that_nobody_signed(believed: Believed) -> None:
    with echo(believed.unknown.server) as url:
        keys = Credentials("AK", "SK", None)
        caller = FunctionCaller(region="us-east-1", endpoint=url, credentials=lambda: keys, timeout_s=5)
        with pytest.raises(StepUnavailableError):
            caller.call("f", b"{}")
