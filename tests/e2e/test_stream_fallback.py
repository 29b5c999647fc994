"""Chats of a model that names a fallback, on the local cloud: who answers, when, and what is metered.

`chatty` reads 2048 tokens; `chatty-large`, of the same signature, reads 4096. Both go on until they are cut.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import openai
import pytest

from hotplate.tenants.keys import read_scopes
from hotplate_tools.deployed import DeployedStack
from hotplate_tools.keys.manage import create
from hotplate_tools.keys.stack import callers_of
from tests.support.http_call import call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate_tools.local.up import LocalCloud

LONG = "hello " * 1030
HEADER = "hotplate-fallback"
FUNCTIONS = {"chatty": "ChattyFunction", "chatty-large": "ChattyLargeFunction"}


def key_of(cloud: LocalCloud, tenant: str, *scopes: str) -> str:
    callers = callers_of(DeployedStack("hotplate", cloud.endpoint))
    return create(callers, tenant, read_scopes([*scopes])).secret


@pytest.fixture(scope="module")
def key(keyed: LocalCloud) -> str:
    """A key for `chatty` alone."""
    return key_of(keyed, "hooli", "*:chatty")


def client_of(cloud: LocalCloud, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{cloud.url}/v1", api_key=key, max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def client(keyed: LocalCloud, key: str) -> Iterator[openai.OpenAI]:
    with client_of(keyed, key) as made:
        yield made


@contextmanager
def concurrency(cloud: LocalCloud, model: str, most: int) -> Iterator[None]:
    """Let a model's function work on so many requests at once."""
    functions, name = cloud.client("lambda"), cloud.functions[FUNCTIONS[model]]
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=most)
    try:
        yield
    finally:
        functions.delete_function_concurrency(FunctionName=name)


def stream(client: openai.OpenAI, text: str = "hi", most: int = 8, model: str = "chatty") -> Any:
    """Begin a chat; return the headers, and the events."""
    raw = client.chat.completions.with_raw_response.create(
        model=model,
        messages=[{"role": "user", "content": text}],
        max_tokens=most,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    return raw.headers, raw.parse()


def lines_of(cloud: LocalCloud, function: str, tenant: str) -> list[dict[str, Any]]:
    found = [json.loads(each) for each in cloud.logs(function) if '"hotplate":"usage"' in each]
    return [each for each in found if each["tenant"] == tenant]


def wait_for_lines(cloud: LocalCloud, function: str, tenant: str, number: int) -> list[dict[str, Any]]:
    ends = time.monotonic() + 30
    while len(lines := lines_of(cloud, function, tenant)) < number:
        assert time.monotonic() < ends, lines
        time.sleep(0.2)
    return lines


def test_chat_streams_through_the_relay_and_each_event_comes_when_it_is_made(
    keyed: LocalCloud, client: openai.OpenAI
) -> None:
    large = client_of(keyed, key_of(keyed, "hooli", "*:chatty-large"))
    stream(large, most=1, model="chatty-large")[1].close()  # the cold start is not what is measured
    begun = time.monotonic()
    headers, events = stream(large, most=1000, model="chatty-large")
    arrived = [(time.monotonic() - begun, event) for event in events]
    assert HEADER not in headers
    assert arrived[0][0] < 0.5 * arrived[-1][0]
    assert arrived[-1][1].usage.completion_tokens == 1000
    headers, events = stream(client)
    pieces = [event.choices[0].delta.content or "" for event in events if event.choices]
    assert HEADER not in headers
    whole = client.chat.completions.create(
        model="chatty", messages=[{"role": "user", "content": "hi"}], max_tokens=8, temperature=0
    )
    assert whole.choices[0].message.content == "".join(pieces)
    large.close()


def test_prompt_past_the_context_is_answered_by_the_fallback(
    keyed: LocalCloud, client: openai.OpenAI, key: str
) -> None:
    headers, events = stream(client, LONG, 200)
    found = list(events)
    assert headers[HEADER] == "chatty-large; reason=context-length"
    assert {event.model for event in found} == {"chatty-large"}
    assert (found[-1].usage.prompt_tokens > 2000, found[-1].usage.completion_tokens) == (True, 200)
    raw = client.completions.with_raw_response.create(
        model="chatty", prompt=LONG, max_tokens=100, temperature=0
    )
    assert (raw.headers[HEADER], raw.parse().model) == ("chatty-large; reason=context-length", "chatty-large")
    body = {"text_input": LONG, "parameters": {"max_tokens": 100, "temperature": 0}}
    for verb in ("generate", "generate_stream"):
        answer = call(
            keyed.url, "POST", f"/v2/models/chatty/{verb}", json.dumps(body).encode(), {"x-api-key": key}
        )
        assert answer.headers[HEADER] == "chatty-large; reason=context-length", answer.body
        assert b'"model_name":"chatty-large"' in answer.body


def test_busy_model_has_its_fallback_while_its_own_stream_goes_on(
    keyed: LocalCloud, client: openai.OpenAI
) -> None:
    with concurrency(keyed, "chatty", 1):
        for _ in range(2):  # the second time both of the relay's environments are warm
            own, going_on = stream(client, most=1900)
            first = next(iter(going_on))
            headers, events = stream(client, most=20)
            fallback, last = list(events), list(going_on)[-1]
        assert (HEADER in own, first.model, last.model) == (False, "chatty", "chatty")
        assert headers[HEADER] == "chatty-large; reason=overload"
        assert {event.model for event in fallback} == {"chatty-large"}
        assert (fallback[-1].usage.completion_tokens, last.usage.completion_tokens) == (20, 1900)


def test_fallback_that_is_busy_too_is_not_heard_of(keyed: LocalCloud, client: openai.OpenAI) -> None:
    large = client_of(keyed, key_of(keyed, "hooli", "*:chatty-large"))
    with concurrency(keyed, "chatty-large", 1), large:
        _, going_on = stream(large, most=1900, model="chatty-large")
        next(iter(going_on))
        with pytest.raises(openai.InternalServerError) as refused:
            stream(large, model="chatty-large")
        assert refused.value.status_code == 503
        with pytest.raises(openai.BadRequestError) as told:
            stream(client, LONG, 200)  # its fallback is busy too, so it says what it said
        assert told.value.code == "context_length_exceeded"
        going_on.close()


def test_caller_who_leaves_frees_both_functions(keyed: LocalCloud, key: str) -> None:
    callers_key = key_of(keyed, "raviga", "*:chatty")
    with client_of(keyed, callers_key) as client, concurrency(keyed, "chatty-large", 1):
        headers, events = stream(client, LONG, 1900)
        assert headers[HEADER].startswith("chatty-large")
        for _, _event in zip(range(10), events, strict=False):
            pass
        events.close()
        (cut,) = wait_for_lines(keyed, "ChattyLargeFunction", "raviga", 1)
        assert cut["status"] == 499
        assert 5 < cut["tokens_out"] < 1900
        ends = time.monotonic() + 10
        while True:  # its one environment is free again
            headers, events = stream(client, LONG, 100)
            if headers.get(HEADER):
                break
            assert time.monotonic() < ends
        assert list(events)[-1].usage.completion_tokens == 100


def test_both_meters_are_right_and_the_request_is_counted_once(keyed: LocalCloud) -> None:
    callers = callers_of(DeployedStack("hotplate", keyed.endpoint))
    with client_of(keyed, key_of(keyed, "aviato", "*:chatty")) as client:
        _, events = stream(client, LONG, 50)
        usage = list(events)[-1].usage
    (line,) = wait_for_lines(keyed, "ChattyLargeFunction", "aviato", 1)
    (refused,) = wait_for_lines(keyed, "ChattyFunction", "aviato", 1)
    assert (line["model"], line["asked"], line["requests"], line["status"]) == (
        "chatty-large", "chatty", 0, 200,
    )  # fmt: skip
    assert (line["tokens_in"], line["tokens_out"]) == (usage.prompt_tokens, usage.completion_tokens)
    assert (refused["model"], refused["status"], "asked" in refused) == ("chatty", 400, False)
    assert not lines_of(keyed, "StreamRelayFunction", "aviato")
    month, ends = time.strftime("%Y-%m", time.gmtime()), time.monotonic() + 60
    while callers.ledger.spent("aviato", month).nano_usd < line["nano_usd"] + refused["nano_usd"]:
        assert time.monotonic() < ends
        time.sleep(0.5)
    assert callers.ledger.spent("aviato", month).requests == 1


def test_error_in_the_fallbacks_stream_reaches_the_caller(keyed: LocalCloud, client: openai.OpenAI) -> None:
    headers, events = stream(client, LONG, 1900)
    assert headers[HEADER].startswith("chatty-large")
    next(iter(events))
    kill_processes_of(keyed, "chatty-large")
    with pytest.raises(openai.APIError) as told:
        list(events)
    assert "could not be finished" in str(told.value)


def kill_processes_of(cloud: LocalCloud, model: str) -> None:
    """End the processes of a model's function in this cloud, and none of another's."""
    marks = (f"HOTPLATE_MODEL={model}\0".encode(), str(urlsplit(cloud.endpoint).port).encode())
    killed = 0
    for folder in Path("/proc").iterdir():
        try:
            variables = (folder / "environ").read_bytes() if folder.name.isdecimal() else b""
        except OSError:
            continue
        if all(mark in variables for mark in marks):
            os.kill(int(folder.name), signal.SIGKILL)
            killed += 1
    assert killed


def test_scopes_are_those_of_the_model_that_was_asked(keyed: LocalCloud, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as told:
        stream(client, model="chatty-large")
    assert told.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        stream(client, model="digits")
    with client_of(keyed, key_of(keyed, "hooli", "*:digits")) as other, pytest.raises(openai.NotFoundError):
        stream(other)


def test_version_that_is_named_has_no_fallback(keyed: LocalCloud, key: str) -> None:
    version = keyed.client("lambda").get_function_configuration(
        FunctionName=keyed.functions["ChattyFunction"]
    )["Environment"]["Variables"]["HOTPLATE_VERSION"]
    body = json.dumps({"text_input": LONG, "parameters": {"max_tokens": 100}}).encode()
    path = f"/v2/models/chatty/versions/{version}/generate"
    answer = call(keyed.url, "POST", path, body, {"x-api-key": key})
    assert (answer.status, HEADER in answer.headers) == (400, False)
