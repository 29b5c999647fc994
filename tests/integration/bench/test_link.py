"""The S3 of the benches: objects in ranges, over the cipher that S3 prefers, whoever else knocks."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotplate_tools.bench.link import OPENSSL_CONF
from hotplate_tools.bench.stage import _write_certificate

BODY = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    _write_certificate(tmp_path)
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "a").write_bytes(BODY)
    (tmp_path / "openssl.cnf").write_text(OPENSSL_CONF)
    files = [str(tmp_path / name) for name in ("objects", "certificate.pem", "key.pem")]
    with subprocess.Popen(
        [sys.executable, "-m", "hotplate_tools.bench.link", *files, "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENSSL_CONF": str(tmp_path / "openssl.cnf")},
    ) as server:
        assert server.stdin
        assert server.stdout
        yield int(server.stdout.readline())
        server.stdin.close()
        assert server.wait(10) == 0


def connection(port: int, folder: Path) -> http.client.HTTPSConnection:
    trust = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    return http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=10)


def test_objects_come_whole_and_in_ranges_on_one_connection(port: int, tmp_path: Path) -> None:
    link = connection(port, tmp_path)
    seen = []
    for method, path, headers in (
        ("GET", "/bucket/a", {}),
        ("GET", "/bucket/a", {"Range": "bytes=1000-300000"}),
        ("HEAD", "/bucket/a", {}),
        ("GET", "/bucket/none", {}),
    ):
        link.request(method, path, headers=headers)
        answer = link.getresponse()
        seen.append((answer.status, answer.headers["Content-Length"], answer.read()))
    assert seen == [
        (200, str(len(BODY)), BODY),
        (206, "299001", BODY[1000:300001]),
        (200, str(len(BODY)), b""),
        (404, "0", b""),
    ]
    assert isinstance(link.sock, ssl.SSLSocket)
    assert link.sock.cipher() == ("TLS_AES_128_GCM_SHA256", "TLSv1.3", 128)
    link.close()


def test_who_does_not_speak_tls_or_believe_it_ends_nobody_else(port: int, tmp_path: Path) -> None:
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        plain.settimeout(10)
        while plain.recv(4096):
            pass
    stranger = http.client.HTTPSConnection("127.0.0.1", port, timeout=10)
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.request("GET", "/bucket/a")
    link = connection(port, tmp_path)
    link.request("GET", "/bucket/a")
    assert link.getresponse().read() == BODY
    link.close()
