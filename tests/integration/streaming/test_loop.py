"""The runtime loop, started by its wrapper, against a Runtime API that gives chunks on as they come."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time

import pytest

from tests.integration.streaming.conftest import Asked, Start, closed


def test_chunks_arrive_while_the_next_is_made(start: Start) -> None:
    asked = Asked(start(), {"count": 5, "every_s": 0.1})
    head, body = asked.answer()
    assert (head["statusCode"], head["headers"]["content-type"]) == (200, "text/event-stream")
    assert body == b"".join(b"data: %d\n\n" % number for number in range(5))
    assert asked.call.is_streamed
    assert len(asked.parts) == 5
    assert asked.parts[-1][0] - asked.parts[0][0] > 0.2, asked.parts


def test_a_process_answers_one_event_after_another(start: Start) -> None:
    function = start()
    pids = {Asked(function, {"count": 1}).answer()[0]["headers"]["x-pid"] for _ in range(3)}
    assert pids == {str(function.pid)}
    assert function.starts == 1


def test_events_at_once_wait_for_their_turn(start: Start) -> None:
    function = start()
    asked = [Asked(function, {"count": 3, "every_s": 0.05}) for _ in range(3)]
    assert [each.answer()[1].count(b"data:") for each in asked] == [3, 3, 3]
    spans = sorted((each.parts[0][0], each.parts[-1][0]) for each in asked)
    assert all(first[1] < second[0] for first, second in itertools.pairwise(spans))


def test_a_stream_may_be_empty(start: Start) -> None:
    head, body = Asked(start(), {"count": 0, "status": 204}).answer()
    assert (head["statusCode"], body) == (204, b"")


def test_a_proxy_result_becomes_a_stream_of_one_chunk(start: Start) -> None:
    event = {"value": {"statusCode": 404, "headers": {"x": "1"}, "body": "aGk=", "isBase64Encoded": True}}
    asked = Asked(start(), event)
    assert asked.answer() == ({"statusCode": 404, "headers": {"x": "1"}}, b"hi")
    assert asked.call.is_streamed


@pytest.mark.parametrize("value", [{"a": [1, "é"]}, None, "text", 3, "lone \ud800"])
def test_any_other_value_is_answered_as_json(start: Start, value: object) -> None:
    asked = Asked(start(), {"value": value})
    assert asked.outcome().error is None
    assert json.loads(b"".join(part for _, part in asked.parts)) == value
    assert not asked.call.is_streamed


def test_the_context_tells_what_lambda_tells(start: Start) -> None:
    asked = Asked(start(timeout_s=9.0), {"context": True})
    told = json.loads(asked.answer()[1])
    assert 8000 < told.pop("remaining_ms") <= 9000
    assert told == {
        "aws_request_id": asked.call.id,
        "function_name": "streamer",
        "memory_limit_in_mb": "512",
        "invoked_function_arn": asked.call.arn,
    }


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        ({"refuse": "no such thing"}, "ValueError", "no such thing"),
        ({"count": 2, "raise_at": 0}, "RuntimeError", "the model failed"),
        ({"value": {"statusCode": 200, "body": [1]}}, "ValueError", "body: expected text, received list"),
    ],
    ids=["handler", "first chunk", "no answer"],
)
def test_an_error_before_the_first_chunk_is_an_error_answer(
    start: Start, event: object, kind: str, message: str
) -> None:
    function = start()
    asked = Asked(function, event)
    error = asked.outcome().error
    assert error is not None
    assert (error["errorType"], error["errorMessage"]) == (kind, message)
    assert error["requestId"] == asked.call.id
    assert asked.parts == []
    assert not asked.outcome().is_broken
    assert Asked(function, {"count": 1}).answer()[1] == b"data: 0\n\n"
    assert function.starts == 1
    assert [line for line in function.log() if line.startswith(f"[ERROR] {kind}: {message}\r")]


def test_an_error_in_the_stream_is_told_in_it_and_by_trailers(start: Start) -> None:
    function = start()
    asked = Asked(function, {"count": 5, "raise_at": 2})
    _, body = asked.answer()
    assert body == b"data: 0\n\ndata: 1\n\nevent: error\ndata: RuntimeError\n\n"
    outcome = asked.outcome()
    assert outcome.error is not None
    assert (outcome.error["errorType"], outcome.error["errorMessage"]) == ("RuntimeError", "the model failed")
    assert Asked(function, {"count": 1}).answer()[1] == b"data: 0\n\n"
    assert function.starts == 1


def test_a_caller_who_hangs_up_stops_the_generator_within_one_item(start: Start) -> None:
    function = start()
    asked = Asked(function, {"count": 100, "every_s": 0.1, "kept": True})
    asked.wait_parts(3)
    hung_up = time.time()
    asked.call.cancel()
    assert asked.outcome().is_broken
    assert not asked.outcome().is_spent
    (line,) = closed(function)
    assert line["why"] == "GeneratorExit"
    assert line["closed"] <= len(asked.parts) + 1
    assert line["at"] - hung_up < 1.0
    assert Asked(function, {"count": 1}).answer()[1] == b"data: 0\n\n"
    assert function.starts == 1


def test_time_that_runs_out_between_chunks_is_told_in_the_stream(start: Start) -> None:
    function = start(timeout_s=1.0)
    asked = Asked(function, {"count": 100, "every_s": 0.1})
    _, body = asked.answer()
    assert body.endswith(b"event: error\ndata: TimeoutError\n\n")
    assert 2 <= body.count(b"data: ") <= 9
    outcome = asked.outcome()
    assert outcome.error is not None
    assert outcome.error["errorType"] == "TimeoutError"
    assert [line["why"] for line in closed(function)] == ["TimeoutError"]
    assert Asked(function, {"count": 1}).answer()[1] == b"data: 0\n\n"
    assert function.starts == 1


def test_time_that_runs_out_within_a_chunk_ends_the_process(start: Start) -> None:
    function = start(timeout_s=0.6)
    asked = Asked(function, {"count": 3, "hang_at": 1})
    outcome = asked.outcome()
    assert outcome.error == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "Task timed out after 0.60 seconds",
    }
    assert (outcome.is_broken, outcome.is_spent) == (True, True)
    assert function.pid is None
    assert Asked(function, {"count": 1}).answer()[1] == b"data: 0\n\n"
    assert function.starts == 2


def test_a_process_that_is_killed_breaks_its_stream_and_the_next_event_gets_another(start: Start) -> None:
    function = start()
    asked = Asked(function, {"count": 100, "every_s": 0.1})
    asked.wait_parts(2)
    assert function.pid
    os.kill(function.pid, signal.SIGKILL)
    outcome = asked.outcome()
    assert outcome.is_broken
    assert outcome.is_spent
    assert outcome.error == {
        "errorType": "Runtime.ExitError",
        "errorMessage": "Runtime exited with error: signal: SIGKILL",
    }
    assert Asked(function, {"count": 2}).answer()[1] == b"data: 0\n\ndata: 1\n\n"
    assert function.starts == 2


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({"BROKEN_INIT": "1"}, "ImportError"),
        ({"_HANDLER": "tests.support.programs.nothing.handler"}, "ModuleNotFoundError"),
        ({"_HANDLER": "tests.support.programs.streamer.nothing"}, "AttributeError"),
        ({"AWS_LAMBDA_MAX_CONCURRENCY": "2"}, "RuntimeError"),
    ],
    ids=["import", "module", "function", "several processes"],
)
def test_a_function_that_cannot_start_says_why(start: Start, variables: dict[str, str], kind: str) -> None:
    function = start(variables)
    outcome = Asked(function, {}).outcome()
    assert outcome.is_spent
    assert outcome.error is not None
    assert outcome.error["errorType"] == kind
    assert [line for line in function.log() if line.startswith(f"[ERROR] {kind}: ")]


def test_a_function_whose_start_takes_too_long_is_stopped(start: Start) -> None:
    function = start({"INIT_S": "30"}, init_limit_s=0.2)
    outcome = Asked(function, {}).outcome()
    assert outcome.error is not None
    assert outcome.error["errorType"] == "Sandbox.Timedout"
    assert function.pid is None


def test_a_large_event_and_a_large_answer_pass(start: Start) -> None:
    text = "x" * (5 << 20)
    assert Asked(start(), {"value": {"statusCode": 200, "body": text}}).answer()[1] == text.encode()
