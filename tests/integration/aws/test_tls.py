"""TLS a mebibyte at a time: the same bytes as Python's own gives, its ends and its silences."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hotplate.aws.tls import TlsSocket
from tests.support.authority import Authority

BODY = bytes(range(256)) * 12_000  # of many records, and more than is taken at once
ASKED = b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "s3")


@contextmanager
def connected(authority: Authority, serve: Callable[[ssl.SSLSocket], None]) -> Iterator[TlsSocket]:
    """Connect to a server that does `serve` with one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def work() -> None:
            plain, _ = listening.accept()
            with authority.server.wrap_socket(plain, server_side=True) as secured:
                serve(secured)

        thread = threading.Thread(target=work)
        thread.start()
        plain = socket.create_connection(listening.getsockname(), 10)
        context = ssl.create_default_context(cafile=str(authority.file))
        tls = TlsSocket(context, plain, "127.0.0.1")
        try:
            yield tls
        finally:
            tls.close()
            thread.join()


def send_body(secured: ssl.SSLSocket) -> None:
    assert secured.recv(100) == ASKED
    secured.sendall(BODY)


@pytest.mark.parametrize("at_most", [1000, 16_384, 100_000, len(BODY) + 1])
def test_the_bytes_arrive_however_many_are_asked_for(authority: Authority, at_most: int) -> None:
    with connected(authority, send_body) as tls:
        tls.sendall(ASKED)
        got, part = bytearray(), memoryview(bytearray(at_most))
        while count := tls.recv_into(part):
            assert tls.pending() == (count == at_most)
            got += part[:count]
        assert got == BODY
        assert tls.recv_into(part) == 0
        assert not tls.pending()


def test_lines_and_then_bytes_are_read_by_one_reader(authority: Authority) -> None:
    def serve(secured: ssl.SSLSocket) -> None:
        secured.sendall(b"head\r\nmore\r\n" + BODY)

    with connected(authority, serve) as tls, tls.makefile("rb") as stream:
        assert [stream.readline(), stream.readline()] == [b"head\r\n", b"more\r\n"]
        assert stream.read() == BODY


@pytest.mark.parametrize("is_told", [True, False])
def test_an_end_is_an_end_whether_it_is_told_or_not(authority: Authority, is_told: bool) -> None:
    def serve(secured: ssl.SSLSocket) -> None:
        secured.sendall(b"half")
        if is_told:
            with suppress(OSError):  # the other side tells no end
                secured.unwrap()
        else:
            secured.shutdown(socket.SHUT_RDWR)

    with connected(authority, serve) as tls:
        into = memoryview(bytearray(100))
        got = tls.recv_into(into)
        while count := tls.recv_into(into[got:]):
            got += count
        assert bytes(into[:got]) == b"half"
        if is_told:
            tls.shutdown(socket.SHUT_RDWR)


def test_silence_ends_by_the_time_given(authority: Authority) -> None:
    quiet = threading.Event()

    def serve(secured: ssl.SSLSocket) -> None:
        quiet.wait(10)

    with connected(authority, serve) as tls:
        tls.settimeout(0.1)
        with pytest.raises(TimeoutError):
            tls.recv_into(memoryview(bytearray(10)))
        quiet.set()


def test_part_of_a_record_makes_nobody_wait(authority: Authority) -> None:
    """The rest is waited for elsewhere: other connections have bytes meanwhile."""
    quiet = threading.Event()
    sent = ssl.MemoryBIO(), ssl.MemoryBIO()

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            plain, _ = listening.accept()
            with plain:
                received, to_send = sent
                tls = authority.server.wrap_bio(received, to_send, server_side=True)
                while True:
                    try:
                        tls.do_handshake()
                    except ssl.SSLWantReadError:
                        plain.sendall(to_send.read())
                        received.write(plain.recv(65536))
                    else:
                        break
                tls.write(b"x" * 10_000)
                data = to_send.read()
                plain.sendall(data[:-5])
                quiet.wait(10)
                plain.sendall(data[-5:])
                quiet.clear()
                quiet.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        plain = socket.create_connection(listening.getsockname(), 10)
        tls = TlsSocket(ssl.create_default_context(cafile=str(authority.file)), plain, "127.0.0.1")
        into = memoryview(bytearray(20_000))
        assert select.select([tls], [], [], 10)[0]
        assert tls.receive_now(into) is None
        assert not tls.pending()
        quiet.set()
        assert select.select([tls], [], [], 10)[0]
        got = tls.receive_now(into)
        while not got:
            got = tls.recv_into(into)
        assert got == 10_000
        quiet.set()
        tls.close()
        thread.join()


def test_a_handshake_has_the_time_of_one_silence_however_many_bytes_dribble_in(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def serve() -> None:
            plain, _ = listening.accept()
            with plain, suppress(OSError):
                # The head of a record whose end never comes.
                for byte in b"\x16\x03\x03\x40\x00" + b"\x02" * 1000:
                    plain.sendall(bytes([byte]))
                    if over.wait(0.05):
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        plain = socket.create_connection(listening.getsockname(), 0.5)
        began = time.monotonic()
        with plain, pytest.raises(TimeoutError):
            TlsSocket(ssl.create_default_context(cafile=str(authority.file)), plain, "127.0.0.1")
        assert time.monotonic() - began < 5
        over.set()
        thread.join()


def test_bytes_that_are_not_tls_are_an_error(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "s3")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        plain = socket.create_connection(listening.getsockname(), 10)
        other, _ = listening.accept()
        with other, plain:
            other.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
            with pytest.raises(ssl.SSLError):
                TlsSocket(ssl.create_default_context(cafile=str(authority.file)), plain, "127.0.0.1")
