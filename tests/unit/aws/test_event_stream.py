"""Messages of an event stream: as botocore reads them, and none of what is damaged."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from hotplate.aws.event_stream import DamagedStreamError, Message, messages
from tests.support.event_streams import completed, part, written

SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
texts = st.text(max_size=40)
values = st.one_of(
    texts.map(lambda text: (7, text.encode())),
    st.binary(max_size=40).map(lambda raw: (6, raw)),
    st.sampled_from(sorted(SIZES)).flatmap(
        lambda kind: st.binary(min_size=SIZES[kind], max_size=SIZES[kind]).map(lambda raw: (kind, raw))
    ),
)
names = st.text(min_size=1, max_size=20)
headers = st.dictionaries(names, values, max_size=5)
sent = st.lists(st.tuples(headers, st.binary(max_size=200)), max_size=4)


def read(data: bytes) -> list[Message]:
    return list(messages(io.BytesIO(data).read))


def as_botocore(data: bytes) -> list[Message]:
    buffer: Any = EventStreamBuffer()
    buffer.add_data(data)
    return [Message(each.headers, each.payload) for each in buffer]


@given(sent)
def test_what_is_written_is_read_and_as_botocore_reads_it(given: Any) -> None:
    data = b"".join(written(*each) for each in given)
    expected = [
        Message({name: raw.decode() for name, (kind, raw) in head.items() if kind == 7}, payload)
        for head, payload in given
    ]
    assert read(data) == expected
    for ours, theirs in zip(expected, as_botocore(data), strict=True):
        assert ours.payload == theirs.payload
        assert ours.headers.items() <= theirs.headers.items()


@given(sent.filter(bool), st.data())
def test_stream_with_a_changed_bit_is_refused_and_what_came_before_is_whole(given: Any, data: Any) -> None:
    parts = [written(*each) for each in given]
    whole = b"".join(parts)
    at = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = bytearray(whole)
    changed[at // 8] ^= 1 << at % 8
    good, found = read(whole), list[Message]()
    with pytest.raises(DamagedStreamError):
        found.extend(messages(io.BytesIO(bytes(changed)).read))
    assert found == good[: len(found)]
    ends = [sum(map(len, parts[: n + 1])) for n in range(len(parts))]
    assert len(found) == sum(end <= at // 8 for end in ends)


@given(sent.filter(bool), st.data())
def test_stream_that_stops_within_a_message_is_not_over(given: Any, data: Any) -> None:
    whole = b"".join(written(*each) for each in given)
    ends = {0, *(len(b"".join(written(*each) for each in given[:n])) for n in range(1, len(given) + 1))}
    cut = data.draw(st.integers(0, len(whole) - 1).filter(lambda at: at not in ends))
    with pytest.raises(DamagedStreamError, match="ended within"):
        read(whole[:cut])


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_else_happens(noise: bytes) -> None:
    if noise:
        with pytest.raises(DamagedStreamError):
            read(noise)


def raw(total: int, head: int) -> bytes:
    lengths = struct.pack("!II", total, head)
    return lengths + struct.pack("!I", zlib.crc32(lengths))


@pytest.mark.parametrize(
    ("total", "head"),
    [(0, 0), (15, 0), (16, 1), (2**31, 0), (24 * 1024**2 + 17, 0), (2**20, 128 * 1024 + 1)],
)
def test_lengths_that_no_message_has_are_refused_before_anything_is_waited_for(total: int, head: int) -> None:
    asked: list[int] = []
    stream = io.BytesIO(raw(total, head))

    def take(size: int) -> bytes:
        asked.append(size)
        return stream.read(size)

    with pytest.raises(DamagedStreamError, match="a message of"):
        list(messages(take))
    assert asked == [12]


@pytest.mark.parametrize(
    "head",
    [
        [("a", (7, b"1")), ("a", (7, b"2"))],
        [("a", (10, b""))],
        [("a", (7, b"\xff"))],
        [("a", (5, b"\0" * 7))],
    ],
    ids=["twice", "a type that is none", "no UTF-8", "cut short"],
)
def test_headers_that_are_none_are_refused(head: Any) -> None:
    with pytest.raises(DamagedStreamError, match="header"):
        read(written(head))


def test_messages_of_lambda_are_read() -> None:
    first, last = read(part(b"abc") + completed("Unhandled", "x"))
    assert (first.headers[":event-type"], first.payload) == ("PayloadChunk", b"abc")
    assert (last.headers[":event-type"], last.payload) == (
        "InvokeComplete",
        b'{"ErrorCode": "Unhandled", "ErrorDetails": "x"}',
    )
