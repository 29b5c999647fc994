"""Heads of answers, and what is none."""

from __future__ import annotations

import io

import pytest

from hotplate.http1 import MalformedAnswerError, read_head, read_line


def test_head_is_read_and_the_body_left() -> None:
    stream = io.BytesIO(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nETag:  x \r\n\r\nabc")
    head = read_head(stream)
    assert head == ("HTTP/1.1", 206, "Partial Content", {"content-length": "3", "etag": "x"})
    assert (head.length, head.is_last, stream.read()) == (3, False, b"abc")


def test_answers_that_announce_another_are_passed_over() -> None:
    stream = io.BytesIO(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204\r\n\r\n"
    )
    head = read_head(stream)
    assert (head.status, head.reason, head.headers, head.length) == (204, "", {}, None)


@pytest.mark.parametrize(
    ("head", "is_last"),
    [
        ("HTTP/1.1 200 OK\r\nConnection: close", True),
        ("HTTP/1.1 200 OK\r\nConnection: Keep-Alive", False),
        ("HTTP/1.0 200 OK", True),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive", False),
    ],
)
def test_whether_the_connection_goes_on(head: str, is_last: bool) -> None:
    assert read_head(io.BytesIO(f"{head}\r\n\r\n".encode())).is_last is is_last


def test_a_body_in_chunks_has_no_length() -> None:
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read_head(io.BytesIO(text)).length is None


@pytest.mark.parametrize("length", ["", "-1", "1e3", "٣", "5, 5", "9" * 5000])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    text = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    with pytest.raises(MalformedAnswerError, match="Content-Length is no number"):
        _ = read_head(io.BytesIO(text)).length


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 5000 + b"\r\n\r\n",
        b"\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"h%d: x\r\n" % number for number in range(200)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nlong: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
    ids=[
        "other protocol",
        "other version",
        "no status",
        "no words",
        "endless status",
        "empty",
        "no header",
        "many",
        "long",
    ],
)
def test_what_is_no_head_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        read_head(io.BytesIO(text))


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nETag: x\r\n"])
def test_the_end_in_a_head_is_a_hang_up(text: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        read_head(io.BytesIO(text))


def test_a_line_is_given_without_its_end() -> None:
    assert read_line(io.BytesIO(b"a b \r\nc")) == "a b "
