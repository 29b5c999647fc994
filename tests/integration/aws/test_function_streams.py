"""Functions whose answers are read while they are made: what Lambda may send, over a real socket."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hotplate.aws.function_streams import FunctionStreams, StreamedAnswer
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import StepError, StepTimeoutError, StepUnavailableError
from hotplate.observability import trace_of
from hotplate.streaming.response import MAX_PRELUDE_BYTES
from tests.support.event_streams import completed, part, written
from tests.support.lambda_api import LambdaApi, Stream, lambda_api, streamed

HEAD = b'{"statusCode":200,"headers":{"a":"1"},"multiValueHeaders":{"b":["2","3"]}}' + bytes(8)
TIMED_OUT = "2026-11-28T09:00:00.000Z 6a7c Task timed out after 29.00 seconds"


@pytest.fixture
def api() -> Iterator[LambdaApi]:
    with lambda_api() as served:
        served.keeps = True
        yield served


@pytest.fixture
def streams(api: LambdaApi) -> Iterator[FunctionStreams]:
    made = FunctionStreams(
        region="eu-west-1", endpoint=api.url, credentials=lambda: Credentials("AK", "SK", None)
    )
    yield made
    made.close()


def begin(streams: FunctionStreams, api: LambdaApi, answer: Any, timeout_s: float = 5) -> StreamedAnswer:
    api.answers["F"] = answer
    return streams.begin("F:live", b"{}", timeout_s=timeout_s)


def chunks(answer: StreamedAnswer, timeout_s: float = 5) -> list[bytes]:
    return list(answer.chunks(lambda: timeout_s))


def test_chunks_come_when_they_are_sent(streams: FunctionStreams, api: LambdaApi) -> None:
    answer = begin(
        streams, api, Stream((part(HEAD), part(b"a"), 0.3, part(b"b"), 0.3, part(b"c"), completed()))
    )
    assert (answer.status, answer.headers) == (200, {"a": "1", "b": ["2", "3"]})
    begun = time.monotonic()
    found = [(chunk, round(time.monotonic() - begun, 1)) for chunk in answer.chunks(lambda: 5)]
    assert found == [(b"a", 0.0), (b"b", 0.3), (b"c", 0.6)]
    assert api.paths == ["/2021-11-15/functions/F/response-streaming-invocations?Qualifier=live"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_beginning_may_come_in_parts_and_with_the_body(
    streams: FunctionStreams, api: LambdaApi, size: int
) -> None:
    data = HEAD + b"body\0" + bytes(8)
    parts = [part(data[at : at + size]) for at in range(0, len(data), size)]
    answer = begin(streams, api, Stream((*parts, completed())))
    assert (answer.status, answer.headers["a"]) == (200, "1")
    assert b"".join(chunks(answer)) == b"body\0" + bytes(8)


def test_answer_of_a_function_that_does_not_stream_is_one_chunk(
    streams: FunctionStreams, api: LambdaApi
) -> None:
    result = {"statusCode": 404, "headers": {"a": "1"}, "body": "Z29uZQ==", "isBase64Encoded": True}
    text = json.dumps(result).encode()
    answer = begin(streams, api, Stream((part(text[:9]), part(text[9:]), completed())))
    assert (answer.status, answer.headers, chunks(answer)) == (404, {"a": "1"}, [b"gone"])


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"no JSON", b'{"statusCode": "200"}', b'{"statusCode": 200, "body": 3}', b"{}" + bytes(8)],
)
def test_what_is_no_http_is_told(streams: FunctionStreams, api: LambdaApi, data: bytes) -> None:
    with pytest.raises(StepError, match="something else than HTTP"):
        begin(streams, api, Stream((part(data), completed())))
    assert chunks(begin(streams, api, streamed(b"next"))) == [b"next"]


def test_beginning_without_an_end_is_no_http(streams: FunctionStreams, api: LambdaApi) -> None:
    endless = (b"{" * MAX_PRELUDE_BYTES,) * 500
    with pytest.raises(StepError, match="something else than HTTP"):
        begin(streams, api, Stream(tuple(part(each) for each in endless)))


def test_connection_is_kept_and_replaced_where_it_went_stale(
    streams: FunctionStreams, api: LambdaApi
) -> None:
    for _ in range(3):
        assert chunks(begin(streams, api, streamed(b"a", b"b"))) == [b"a", b"b"]
    api.answers["F"] = 429
    with pytest.raises(StepUnavailableError):
        streams.begin("F", b"{}", timeout_s=5)
    assert chunks(begin(streams, api, streamed(b"a"))) == [b"a"]
    assert len(api.asked) == 5


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (429, StepUnavailableError, "busy"),
        (503, StepUnavailableError, "busy"),
        (403, StepError, "cannot be called"),
        (Stream((completed("Unhandled", '{"errorType": "ValueError"}'),)), StepError, "ended with an error"),
        (Stream((completed("Unhandled", "words"),)), StepError, "ended with an error"),
        (Stream((completed("Sandbox.Timedout", "{}"),)), StepTimeoutError, "ran past its time"),
        (Stream((completed("Unhandled", TIMED_OUT),)), StepTimeoutError, "ran past its time"),
        (
            Stream((completed("Unhandled", json.dumps({"errorMessage": TIMED_OUT})),)),
            StepTimeoutError,
            "ran past its time",
        ),
        (
            Stream((written({":message-type": "exception", ":exception-type": "TooManyRequestsException"}),)),
            StepUnavailableError,
            "busy",
        ),
        (
            Stream((written({":message-type": "error", ":error-code": "InternalError"}),)),
            StepError,
            "ended with an error",
        ),
        (Stream((part(b"{"),)), StepUnavailableError, "broke off"),
        (Stream((part(b"{"),), is_cut=True), StepUnavailableError, "broke off"),
        (Stream((part(b"{")[:-1],)), StepUnavailableError, "broke off"),
        (Stream((b"noise that is long enough",)), StepUnavailableError, "broke off"),
    ],
)
def test_faults_before_the_status_are_told_apart(
    streams: FunctionStreams, api: LambdaApi, answer: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(StepError, match=words) as caught:
        begin(streams, api, answer)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (completed("Unhandled", '{"errorType": "InferenceError"}'), StepError),
        (completed("Sandbox.Timedout", "{}"), StepTimeoutError),
        (b"", StepUnavailableError),
        (part(b"b")[:-2], StepUnavailableError),
    ],
    ids=["failed", "timed out", "no end", "damaged"],
)
def test_part_is_never_taken_for_the_whole(
    streams: FunctionStreams, api: LambdaApi, end: bytes, kind: type[Exception]
) -> None:
    found: list[bytes] = []
    answer = begin(streams, api, streamed(b"a", end=end))
    with pytest.raises(StepError) as caught:
        found.extend(answer.chunks(lambda: 5))
    assert (found, type(caught.value)) == ([b"a"], kind)
    assert chunks(begin(streams, api, streamed(b"c"))) == [b"c"]


def test_silence_is_bounded_before_the_status_and_between_chunks(
    streams: FunctionStreams, api: LambdaApi
) -> None:
    with pytest.raises(StepTimeoutError, match=r"did not answer in 0\.2 s"):
        begin(streams, api, (1, streamed(b"a")), timeout_s=0.2)
    with pytest.raises(StepTimeoutError):
        chunks(begin(streams, api, streamed(b"a", 1, b"b")), timeout_s=0.2)
    assert chunks(begin(streams, api, streamed(b"a", 0.4, b"b"), timeout_s=0.3)) == [b"a", b"b"]
    assert len(api.asked) == 3


def test_who_wants_no_more_hangs_up(streams: FunctionStreams, api: LambdaApi) -> None:
    reading = begin(streams, api, streamed(*(b"a", 0.05) * 100)).chunks(lambda: 5)
    assert next(reading) == b"a"
    reading.close()
    ends = time.monotonic() + 5
    while not api.gone:
        assert time.monotonic() < ends
        time.sleep(0.02)
    # What was forgotten ends with the next call, and does not end that one.
    forgotten = begin(streams, api, streamed(*(b"a", 0.05) * 100))
    answer = begin(streams, api, streamed(b"b", 0.1, b"c"))
    del forgotten
    assert chunks(answer) == [b"b", b"c"]


def test_what_a_function_says_of_itself_is_not_handed_on(streams: FunctionStreams, api: LambdaApi) -> None:
    details = json.dumps({"errorType": "ValueError", "errorMessage": "no float: 'secret'"})
    with pytest.raises(StepError) as caught:
        begin(streams, api, Stream((completed("Unhandled", details),)))
    trace = trace_of(caught.value)
    assert any("ValueError" in line for line in trace)
    assert "secret" not in "\n".join(trace)
