"""The loop's own client of the Runtime API, against a server that answers byte for byte what a test says."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from hotplate.streaming.connection import ProtocolError
from hotplate.streaming.loop import _serve
from hotplate.streaming.runtime_api import CallerGoneError, Invocation, RuntimeApi

EVENT_HEADERS = (
    "Lambda-Runtime-Aws-Request-Id: one\r\n"
    "Lambda-Runtime-Deadline-Ms: 1700000000000\r\n"
    "Lambda-Runtime-Invoked-Function-Arn: arn:f\r\n"
)
EVENT = f"HTTP/1.1 200 OK\r\n{EVENT_HEADERS}Content-Length: 2\r\n\r\n{{}}"
ACCEPTED = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def scripted(
    *answers: str, close_after: int = 0, is_eager: bool = False
) -> Iterator[tuple[RuntimeApi, list[bytes]]]:
    """Answer each request with the next of `answers`, on one connection but that of every `close_after`-th.

    Yields the client and what each request held; `is_eager` answers when a request's head is there.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def serve() -> None:
        left = list(answers)
        while left:
            connection, _ = listener.accept()
            with connection:
                served, came = 0, bytearray()
                while left and not (close_after and served == close_after):
                    asked.append(_request(connection, came, is_eager=is_eager))
                    connection.sendall(left.pop(0).encode())
                    served += 1

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    api = RuntimeApi(f"127.0.0.1:{listener.getsockname()[1]}")
    try:
        yield api, asked
    finally:
        api.disconnect()
        listener.close()
        thread.join(5)


def _request(connection: socket.socket, came: bytearray, *, is_eager: bool) -> bytes:
    """Return the request that begins `came`, which keeps what came with it."""

    while (at := came.find(b"\r\n\r\n")) < 0:
        _receive(connection, came)
    end = at + 4
    lines = dict(line.lower().split(b": ", 1) for line in bytes(came[:at]).split(b"\r\n")[1:])
    if is_eager:
        end = len(came)
    elif b"transfer-encoding" in lines:
        while not came.endswith(b"\r\n\r\n") or len(came) == end:
            _receive(connection, came)
        end = len(came)
    else:
        end += int(lines.get(b"content-length", 0))
        while len(came) < end:
            _receive(connection, came)
    request = bytes(came[:end])
    del came[:end]
    return request


def _receive(connection: socket.socket, came: bytearray) -> None:
    part = connection.recv(65536)
    if not part:
        raise ConnectionResetError
    came += part


def test_an_event_that_comes_in_chunks_is_read() -> None:
    body = "3\r\n[1,\r\n2;x=y\r\n2]\r\n0\r\n\r\n"
    chunked = f"HTTP/1.1 200 OK\r\n{EVENT_HEADERS}Transfer-Encoding: chunked\r\n\r\n{body}"
    with scripted(chunked, EVENT) as (api, asked):
        invocation = api.next()
        assert (invocation.id, invocation.event, invocation.deadline_ms) == ("one", b"[1,2]", 1700000000000)
        assert api.next().event == b"{}"
    assert [request.split(b"\r\n")[0] for request in asked] == [
        b"GET /2018-06-01/runtime/invocation/next HTTP/1.1"
    ] * 2


def test_an_answer_goes_out_with_its_length_and_an_error_with_its_type() -> None:
    with scripted(ACCEPTED, EVENT, ACCEPTED, ACCEPTED) as (api, asked):
        api.answer("one", b"[]")
        api.next()
        api.fail("one", ValueError("no"))
        api.fail_start(ImportError("none"))
    first, _, second, third = asked
    assert first.startswith(b"POST /2018-06-01/runtime/invocation/one/response HTTP/1.1\r\n")
    assert first.endswith(b"Content-Length: 2\r\n\r\n[]")
    assert second.startswith(b"POST /2018-06-01/runtime/invocation/one/error HTTP/1.1\r\n")
    assert b"Lambda-Runtime-Function-Error-Type: ValueError\r\n" in second
    assert third.startswith(b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\n")
    assert b"Lambda-Runtime-Function-Error-Type: Runtime.InitError\r\n" in third


def test_a_streams_bytes_are_chunks_and_trailers_of_the_error() -> None:
    with scripted(ACCEPTED, ACCEPTED) as (api, asked):
        with api.stream("one") as stream:
            stream.send(b"ab")
            stream.send(b"")
            stream.send(b"x" * 17)
            stream.end()
        with api.stream("two") as stream:
            stream.send(b"a")
            stream.fail(ValueError("no"), "two")
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert b"Lambda-Runtime-Function-Response-Mode: streaming" in head
    assert b"Content-Type: application/vnd.awslambda.http-integration-response" in head
    assert b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body" in head
    assert body == b"2\r\nab\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n"
    trailers = asked[1].partition(b"\r\n\r\n")[2]
    assert trailers.startswith(b"1\r\na\r\n0\r\nLambda-Runtime-Function-Error-Type: ValueError\r\n")
    assert b"\r\nLambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJubyIs" in trailers


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    with scripted(EVENT, EVENT, EVENT, close_after=1) as (api, asked):
        for _ in range(3):
            api.next()
            # Until the end of the connection is there; what comes after it must not be sent in vain.
            threading.Event().wait(0.05)
    assert len(asked) == 3


def test_a_connection_that_is_to_be_closed_is_not_used_again() -> None:
    last = EVENT.replace("Content-Length", "Connection: close\r\nContent-Length")
    with scripted(last, EVENT, close_after=1) as (api, asked):
        assert [api.next().id, api.next().id] == ["one", "one"]
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", "413 Too Large: b'no'"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "an event without 'lambda-runtime-aws-request-id'",
        ),
        (EVENT.replace("1700000000000", "soon"), "an event without"),
    ],
    ids=["refusal", "no id", "no deadline"],
)
def test_what_the_api_does_not_say_is_named(answer: str, message: str) -> None:
    with scripted(answer) as (api, _), pytest.raises(ProtocolError, match=message):
        api.next()


@pytest.mark.parametrize(
    "answer", ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "HTTP/1.1 200 OK\r\nConte"]
)
def test_an_api_that_hangs_up_is_an_error(answer: str) -> None:
    with scripted(answer, close_after=1) as (api, _), pytest.raises(ConnectionError):
        api.next()


def test_a_stream_that_is_answered_before_its_end_has_no_listener() -> None:
    refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    with scripted(refusal, is_eager=True) as (api, _), pytest.raises(CallerGoneError):
        _stream_on(api)


def _stream_on(api: RuntimeApi) -> None:
    with api.stream("one") as stream:
        for _ in range(100):
            stream.send(b"x")
            threading.Event().wait(0.01)


def test_an_error_is_cut_to_what_a_trailer_may_hold() -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError("no " + "x" * 9000)

    with pytest.raises(ValueError, match="no x") as raised:
        deep(100)
    with scripted(ACCEPTED) as (api, asked), api.stream("one") as stream:
        stream.fail(raised.value, "one")
    trailers = asked[0].partition(b"0\r\n")[2]
    assert len(trailers) < 4096
    record = json.loads(base64.b64decode(trailers.partition(b"Body: ")[2]))
    assert record["errorMessage"] == "no " + "x" * 197
    assert record["requestId"] == "one"
    assert all("in deep" in frame for frame in record["stackTrace"])
    assert record["stackTrace"]


def test_an_event_whose_context_cannot_be_read_is_an_error_of_its_own() -> None:
    headers = {"lambda-runtime-client-context": "{no JSON"}
    with scripted(ACCEPTED) as (api, asked):
        _serve(api, lambda *_: 1, Invocation("one", b"{}", 0, "arn", headers), {}, streams=False)
    (told,) = asked
    assert told.startswith(b"POST /2018-06-01/runtime/invocation/one/error HTTP/1.1\r\n")


def test_an_answer_that_is_refused_is_not_told_again_as_an_error() -> None:
    refused = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
    with scripted(refused) as (api, asked), pytest.raises(ProtocolError, match="413"):
        _serve(api, lambda *_: 1, Invocation("one", b"{}", 0, "arn", {}), {}, streams=False)
    assert len(asked) == 1


NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"
REFUSED = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n"


def wait_until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_a_small_answer_takes_the_next_question_along() -> None:
    with scripted(ACCEPTED, EVENT) as (api, asked):
        api.answer("one", b"[]")
        wait_until(lambda: len(asked) == 2)  # before anybody asks for the next
        assert api.next().event == b"{}"
    assert [request.split(b"\r\n")[0] + b"\r\n" for request in asked][1:] == [NEXT]


def test_a_large_answer_goes_alone() -> None:
    with scripted(ACCEPTED, EVENT) as (api, asked):
        api.answer("one", b"x" * 65537)
        time.sleep(0.1)
        assert len(asked) == 1
        assert api.next().event == b"{}"
    assert len(asked) == 2
    assert asked[1].startswith(NEXT)


@pytest.mark.parametrize("answer", [ACCEPTED, f"{REFUSED}\r\n"], ids=["accepted", "refused"])
def test_where_the_api_hangs_up_without_a_word_it_is_asked_again(answer: str) -> None:
    with scripted(answer, EVENT, close_after=1) as (api, asked):
        with suppress(ProtocolError):
            api.answer("one", b"[]")
        assert api.next().event == b"{}"
    assert len(asked) == 2
    assert asked[1].startswith(NEXT)


def test_what_is_no_answer_ends_the_connection() -> None:
    with scripted("HTTP/1.1 202 Accepted\r\nContent-Length: x\r\n\r\n", EVENT, close_after=1) as (api, _):
        with pytest.raises(ProtocolError, match="Content-Length"):
            api.answer("one", b"[]")
        assert api.next().event == b"{}"


def test_the_event_behind_a_refused_answer_is_not_lost() -> None:
    with scripted(f"{REFUSED}\r\n", EVENT) as (api, asked):
        with pytest.raises(ProtocolError, match="413"):
            api.answer("one", b"[]")
        assert api.next().event == b"{}"
    assert len(asked) == 2


def test_where_the_api_hangs_up_behind_a_refusal_it_is_asked_again() -> None:
    with scripted(f"{REFUSED}Connection: close\r\n\r\n", EVENT, close_after=1) as (api, asked):
        with pytest.raises(ProtocolError, match="413"):
            api.answer("one", b"[]")
        assert api.next().event == b"{}"
    assert asked[1].startswith(NEXT)
