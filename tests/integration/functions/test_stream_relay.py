"""The relay that streams: who is asked, who is asked instead and how, and what the caller gets, and when."""

from __future__ import annotations

import base64
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from hotplate.streaming.response import StreamedResponse, as_streamed
from tests.support.event_streams import completed
from tests.support.lambda_api import LambdaApi, Stream, lambda_api, streamed
from tests.support.lambda_context import Context

CHAT, GENERATE = "/v1/chat/completions", "/v2/models/small/generate_stream"
EVENT = b'data: {"choices":[]}\n\n'
TOLD = b'data: {"error":{"message":"the model failed"}}\n\n'
TOO_LONG = streamed(
    json.dumps({"type": "urn:hotplate:error:ContextLengthExceededError", "error": {}}).encode(),
    status=400,
    kind="application/json",
)


@dataclass
class Timed(Context):
    """A context of an invocation that ends at `until`, on the monotonic clock."""

    until: float = float("inf")

    def get_remaining_time_in_millis(self) -> int:
        return int(min(600.0, self.until - time.monotonic()) * 1000)


@pytest.fixture
def behind() -> Iterator[LambdaApi]:
    with lambda_api() as api:
        api.otherwise = streamed(EVENT, EVENT)
        yield api


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, behind: LambdaApi) -> Iterator[Callable[..., ModuleType]]:
    with ExitStack() as stack:

        def with_settings(**more: str) -> ModuleType:
            values = {
                "HOTPLATE_FUNCTIONS": "small=S:live,large=L:live,lonely=A:live",
                "HOTPLATE_FALLBACKS": "small=large",
                "AWS_ENDPOINT_URL_LAMBDA": behind.url,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                **more,
            }
            for name, value in values.items():
                monkeypatch.setenv(name, value)
            import functions.stream_relay.app as module

            app = importlib.reload(module)
            stack.callback(app._asking.close)
            return app

        yield with_settings


def event(path: str = CHAT, body: Any = None, scopes: str = "infer:small") -> dict[str, Any]:
    raw = base64.b64encode(json.dumps({"model": "small"} if body is None else body).encode()).decode()
    caller = {"tenant": "acme", "key": "k", "scopes": scopes}
    sent = {"httpMethod": "POST", "path": path, "headers": {}, "body": raw, "isBase64Encoded": True}
    return {**sent, "requestContext": {"authorizer": caller}}


@dataclass
class Answer:
    """What the runtime loop would send.

    Attributes:
        status, headers: Of the answer.
        parts: Chunks, each with the time from the beginning, in seconds.
        fault: What the chunks ended with; None if they ended well.
    """

    status: int
    headers: dict[str, Any]
    parts: list[tuple[float, bytes]]
    fault: Exception | None

    @property
    def body(self) -> bytes:
        return b"".join(part for _, part in self.parts)


def ask(app: ModuleType, sent: dict[str, Any], context: Context | None = None) -> Answer:
    begun = time.monotonic()
    result = app.lambda_handler(sent, context or Timed())
    response = result if isinstance(result, StreamedResponse) else as_streamed(result)
    assert response is not None
    answer = Answer(response.status, dict(response.headers), [], None)
    try:
        for chunk in response.chunks:
            answer.parts.append((time.monotonic() - begun, chunk))
    except Exception as fault:
        answer.fault = fault
        answer.parts.append((time.monotonic() - begun, response.on_error(fault)))
    return answer


@pytest.mark.parametrize(
    "path", [CHAT, "/v1/completions", "/openai/v1/chat/completions", "/openai/v1/completions"]
)
def test_request_goes_to_the_model_that_its_body_names(
    load: Callable[..., ModuleType], behind: LambdaApi, path: str
) -> None:
    sent = event(path, {"model": "lonely"}, "infer:*")
    answer = ask(load(), sent)
    assert (answer.status, answer.body, answer.fault) == (200, EVENT * 2, None)
    assert (answer.headers, behind.asked) == ({"content-type": "text/event-stream"}, [("A", sent)])


@pytest.mark.parametrize("verb", ["infer", "generate", "generate_stream"])
def test_request_goes_to_the_model_that_its_path_names(
    load: Callable[..., ModuleType], behind: LambdaApi, verb: str
) -> None:
    sent = event(f"/v2/models/small/{verb}")
    assert ask(load(), sent).status == 200
    assert behind.asked == [("S", sent)]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHAT, {"model": "large"}, 404),
        (CHAT, {"model": "nope"}, 404),
        (CHAT, {"model": 3}, 400),
        (CHAT, {}, 400),
        (CHAT, [], 400),
        ("/v2/models/large/generate", {}, 404),
        ("/v2/models/small/versions/1/generate", {}, 404),
        ("/v1/embeddings", {"model": "small"}, 404),
    ],
)
def test_what_is_not_the_callers_or_not_there_is_refused_and_nobody_is_asked(
    load: Callable[..., ModuleType], behind: LambdaApi, path: str, body: Any, status: int
) -> None:
    answer = ask(load(), event(path, body))
    assert (answer.status, behind.asked) == (status, [])
    assert "x-request-id" in answer.headers


def test_first_chunk_is_there_before_the_last_is_made(
    load: Callable[..., ModuleType], behind: LambdaApi
) -> None:
    behind.answers["S"] = streamed(EVENT, 0.4, EVENT)
    (first, _), (last, _) = ask(load(), event()).parts
    assert first < 0.3 < 0.4 <= last


@pytest.mark.parametrize(
    ("said", "reason", "is_again"),
    [
        (429, "overload", False),
        (503, "overload", False),
        (TOO_LONG, "context-length", True),
        (streamed(b"{}", status=503), "not-ready", True),
        (streamed(b"{}", status=504), "timeout", True),
        (Stream((completed("Sandbox.Timedout", "{}"),)), "timeout", False),
    ],
    ids=["throttled", "broken", "too long", "not ready", "late", "timed out"],
)
@pytest.mark.parametrize("path", [CHAT, GENERATE])
def test_fallback_answers_what_the_model_cannot(
    load: Callable[..., ModuleType],
    behind: LambdaApi,
    path: str,
    said: Any,
    reason: str,
    is_again: bool,
) -> None:
    behind.answers["S"] = said
    behind.answers["L"] = streamed(EVENT, 0.3, EVENT)
    answer = ask(load(), event(path))
    assert (answer.status, answer.body, answer.fault) == (200, EVENT * 2, None)
    assert answer.headers["hotplate-fallback"] == f"large; reason={reason}"
    assert answer.parts[0][0] < answer.parts[1][0] - 0.2
    (first, sent), (second, again) = behind.asked
    assert (first, sent, second) == ("S", event(path), "L")
    # The scope is for the model that was asked; who stands in was chosen by whoever published that.
    assert again["requestContext"] == {
        **event()["requestContext"],
        "hotplateFallback": {"asked": "small", "is_again": is_again},
    }
    if path == CHAT:
        assert again["path"] == CHAT
        assert json.loads(base64.b64decode(again["body"])) == {"model": "large"}
    else:
        assert again["path"] == "/v2/models/large/generate_stream"


@pytest.mark.parametrize("status", [400, 404, 500])
def test_all_else_that_the_model_says_is_the_answer(
    load: Callable[..., ModuleType], behind: LambdaApi, status: int
) -> None:
    behind.answers["S"] = streamed(b"{}", status=status, kind="application/json")
    answer = ask(load(), event())
    assert (answer.status, answer.body) == (status, b"{}")
    assert answer.headers == {"content-type": "application/json"}
    assert [each for each, _ in behind.asked] == ["S"]


def test_model_without_a_fallback_has_none(load: Callable[..., ModuleType], behind: LambdaApi) -> None:
    behind.answers["A"] = 429
    answer = ask(load(), event(CHAT, {"model": "lonely"}, "infer:*"))
    assert (answer.status, "hotplate-fallback" in answer.headers) == (503, False)
    behind.answers["A"] = TOO_LONG
    assert ask(load(), event(CHAT, {"model": "lonely"}, "infer:*")).status == 400
    assert {each for each, _ in behind.asked} == {"A"}


@pytest.mark.parametrize("said", [429, {"error": "x"}, streamed(b"{}", status=500)])
def test_fallback_that_fails_too_is_not_heard_of(
    load: Callable[..., ModuleType], behind: LambdaApi, said: Any
) -> None:
    app = load(HOTPLATE_FALLBACKS="small=large,large=small")
    behind.answers |= {"S": TOO_LONG, "L": said}
    answer = ask(app, event())
    assert (answer.status, "hotplate-fallback" in answer.headers) == (400, False)
    assert [each for each, _ in behind.asked] == ["S", "L"], "one step"
    behind.answers["S"] = 429
    answer = ask(app, event())
    assert (answer.status, "retry-after" in answer.headers) == (503, True)
    assert b"model 'small'" in answer.body


def test_what_is_not_there_is_told_to_the_log(
    load: Callable[..., ModuleType], behind: LambdaApi, caplog: pytest.LogCaptureFixture
) -> None:
    app = load(HOTPLATE_FALLBACKS="small=sagemaker")
    behind.answers["S"] = TOO_LONG
    assert ask(app, event()).status == 400
    (told,) = [each for each in caplog.records if each.message == "a fallback did not answer"]
    assert vars(told)["error"] == "it is not deployed, or generates no text"


def test_model_that_says_nothing_leaves_its_fallback_a_share_of_the_time(
    load: Callable[..., ModuleType], behind: LambdaApi
) -> None:
    app = load(HOTPLATE_RELAY_TIMEOUT_S="7.7")
    behind.answers["S"] = (9, streamed(EVENT))
    begun = time.monotonic()
    answer = ask(app, event())
    assert answer.headers["hotplate-fallback"] == "large; reason=timeout"
    assert 5.3 < time.monotonic() - begun < 7
    # Less than 2 s would be left.
    app = load(HOTPLATE_RELAY_TIMEOUT_S="3")
    behind.asked.clear()
    assert ask(app, event()).status == 504
    assert [each for each, _ in behind.asked] == ["S"]


@pytest.mark.parametrize(
    ("chunk", "end", "words"),
    [
        (EVENT, completed("Runtime.ExitError", "{}"), b"could not be finished (request req-1)"),
        (EVENT, b"", b"could not be finished (request req-1)"),
        (EVENT + TOLD, completed("Unhandled", '{"errorType": "InferenceError"}'), b""),
    ],
    ids=["died", "broke off", "told already"],
)
@pytest.mark.parametrize("path", [CHAT, GENERATE])
def test_error_in_the_stream_is_its_last_event_once_and_no_silent_end(
    load: Callable[..., ModuleType], behind: LambdaApi, path: str, chunk: bytes, end: bytes, words: bytes
) -> None:
    behind.answers["S"] = streamed(chunk, end=end)
    answer = ask(load(), event(path))
    assert answer.status == 200
    assert answer.fault is not None
    (_, first), (_, last) = answer.parts
    assert (first, words in last, bool(words) == bool(last)) == (chunk, True, True)
    if words:
        told = json.loads(last.removeprefix(b"data: "))["error"]
        assert isinstance(told, dict if path == CHAT else str)


def test_whole_answer_that_breaks_off_has_no_event_in_it(
    load: Callable[..., ModuleType], behind: LambdaApi
) -> None:
    behind.answers["S"] = streamed(b'{"a":', kind="application/json", end=b"")
    answer = ask(load(), event())
    assert (answer.body, answer.fault is not None) == (b'{"a":', True)


def test_time_of_the_function_that_runs_out_between_chunks_is_told(
    load: Callable[..., ModuleType], behind: LambdaApi
) -> None:
    behind.answers["S"] = streamed(EVENT, 5, EVENT)
    begun = time.monotonic()
    answer = ask(load(), event(), Timed(until=begun + 2))
    assert time.monotonic() - begun < 1.8
    assert answer.fault is not None
    assert answer.body.startswith(EVENT + b'data: {"error":{"message":')


def test_caller_who_leaves_ends_the_models_answer_too(
    load: Callable[..., ModuleType], behind: LambdaApi
) -> None:
    behind.answers["S"] = streamed(*(EVENT, 0.05) * 200)
    app = load()
    result = app.lambda_handler(event(), Timed())
    chunks = iter(result.chunks)
    assert next(chunks) == EVENT
    chunks.close()
    ends = time.monotonic() + 5
    while behind.gone != ["S"]:
        assert time.monotonic() < ends
        time.sleep(0.02)
    behind.answers["S"] = streamed(EVENT)
    assert ask(app, event()).body == EVENT


def test_cold_start_imports_nothing_that_computes_and_no_boto3() -> None:
    program = "import sys, functions.stream_relay.app; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"HOTPLATE_FUNCTIONS": "small=S", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"numpy", "onnxruntime", "boto3", "botocore", "pydantic", "aws_lambda_powertools"}
    assert not [name for name in done.stdout.split() if name.startswith("hotplate.generation")]


def test_tenant_whose_month_is_used_up_is_refused_and_nobody_is_asked(
    load: Callable[..., ModuleType], behind: LambdaApi
) -> None:
    sent = event()
    sent["requestContext"]["authorizer"] |= {"spent": "quota", "spent_text": "used up"}
    assert (ask(load(), sent).status, behind.asked) == (429, [])


def test_tenants_are_told_and_what_mixes_them_stands_in_for_nobody_who_keeps_them_apart(
    load: Callable[..., ModuleType], behind: LambdaApi
) -> None:
    behind.answers["S"] = 429
    assert ask(load(HOTPLATE_ISOLATED="small"), event()).status == 503
    assert behind.tenants == ["acme"]
    answer = ask(load(HOTPLATE_ISOLATED="small large"), event())
    assert answer.headers["hotplate-fallback"] == "large; reason=overload"
