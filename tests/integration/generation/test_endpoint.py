"""The chat function over a tiny model: OpenAI's paths, the generate extension, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from hotplate.errors import InferenceError
from hotplate.generation.generator import Asked
from hotplate.generation.loading import TextModel, build_text_model
from hotplate.http.generation import GenerationEndpoint
from hotplate.runtime.fetched import fetch_here
from hotplate.runtime.ledger import Ledger
from hotplate.streaming import StreamedResponse
from hotplate.tenants.usage import read_usage
from tests.support.lambda_context import Context
from tests.support.tiny_llama import CONTEXT, published_llama

if TYPE_CHECKING:
    import numpy as np

MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = "/v1/chat/completions"
GENERATE = "/v2/models/tiny/generate"


class Failing:
    """A graph that fails at its so-manyth step."""

    def __init__(self, graph: Any, steps: int) -> None:
        self._graph, self._left, self.reused = graph, steps, 0

    def read(self, ids: Sequence[int], room: int) -> np.ndarray:
        return self._counted(self._graph.read(ids, room))

    def step(self, index: int) -> np.ndarray:
        return self._counted(self._graph.step(index))

    def forget(self) -> None:
        self._graph.forget()

    def _counted(self, logits: np.ndarray) -> np.ndarray:
        self._left -= 1
        if self._left < 0:
            raise InferenceError("the graph failed", quoted="a secret of the graph")
        return logits


def load(*, fails_after: int | None = None) -> TextModel:
    version, ledger = published_llama(), Ledger()
    model = build_text_model(fetch_here(version.settings, version.reader, ledger), version.settings, ledger)
    return (
        model
        if fails_after is None
        else msgspec.structs.replace(model, graph=Failing(model.graph, fails_after))
    )


@pytest.fixture(scope="module")
def endpoint() -> GenerationEndpoint:
    return GenerationEndpoint(load)


def ask(endpoint: GenerationEndpoint, path: str, body: Any, *, method: str = "POST", **caller: str) -> Any:
    context = {"authorizer": caller} if caller else {}
    text = body if isinstance(body, str) else json.dumps(body)
    event = {"httpMethod": method, "path": path, "headers": {}, "body": text, "requestContext": context}
    return endpoint(event, Context())


def whole(endpoint: GenerationEndpoint, path: str, body: Any, status: int = 200, **caller: str) -> Any:
    result = ask(endpoint, path, body, **caller)
    assert result["statusCode"] == status, result["body"]
    return json.loads(result["body"])


def events(response: Any) -> list[Any]:
    assert isinstance(response, StreamedResponse)
    raw = b"".join(response.chunks).decode()
    assert raw.endswith("\n\n")
    parts = [part.removeprefix("data: ") for part in raw.split("\n\n") if part]
    return [part if part == "[DONE]" else json.loads(part) for part in parts]


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": MESSAGES, "temperature": 0, "max_tokens": 12, **more}


def usage_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("hotplate") == "usage"]


def test_a_chat_is_answered_as_openai_does(endpoint: GenerationEndpoint) -> None:
    got = whole(endpoint, CHAT, chat())
    assert set(got) == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    assert (got["id"], got["object"], got["model"]) == ("chatcmpl-req-1", "chat.completion", "tiny")
    (choice,) = got["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "length"
    model = endpoint._ready_model()
    assert isinstance(model, TextModel)
    ids = model.vocabulary.tokeniser.encode("system\nBe brief.\nuser\nhello\nassistant\n", 999)
    marks = (
        5  # a pair around each of two messages, and one before the answer; the text's lines are joined here
    )
    assert got["usage"]["prompt_tokens"] == len(ids) + marks
    assert got["usage"]["completion_tokens"] == 12
    assert got["usage"]["total_tokens"] == len(ids) + marks + 12


def test_a_stream_says_the_same_as_the_whole(endpoint: GenerationEndpoint) -> None:
    text = whole(endpoint, CHAT, chat())["choices"][0]["message"]["content"]
    response = ask(endpoint, CHAT, chat(stream=True, stream_options={"include_usage": True}))
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-request-id"] == "req-1"
    *parts, told, done = events(response)
    assert done == "[DONE]"
    assert told["choices"] == []
    assert told["usage"]["completion_tokens"] == 12
    assert parts[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(part["choices"][0]["delta"].get("content", "") for part in parts) == text
    assert [part["choices"][0]["finish_reason"] for part in parts][-1] == "length"
    assert {part["object"] for part in parts} == {"chat.completion.chunk"}
    assert all(part["usage"] is None for part in parts)


@pytest.mark.parametrize("base", ["/v1", "/openai/v1"])
def test_completions_go_on_with_a_text(endpoint: GenerationEndpoint, base: str) -> None:
    body = {"model": "tiny", "prompt": "hello", "temperature": 0, "max_tokens": 8}
    got = whole(endpoint, f"{base}/completions", body)
    assert got["object"] == "text_completion"
    streamed = events(ask(endpoint, f"{base}/completions", body | {"stream": True}))
    assert "".join(part["choices"][0]["text"] for part in streamed[:-1]) == got["choices"][0]["text"]
    assert got["usage"]["prompt_tokens"] == 1


def test_generate_is_the_same_model(endpoint: GenerationEndpoint) -> None:
    body = {"id": "7", "text_input": "hello", "parameters": {"temperature": 0, "max_tokens": 8}}
    got = whole(endpoint, GENERATE, body)
    assert (got["id"], got["model_name"], got["finish_reason"]) == ("7", "tiny", "length")
    assert got["usage"] == {"prompt_tokens": 1, "completion_tokens": 8}
    version = endpoint._ready_model().version
    response = ask(endpoint, f"/v2/models/tiny/versions/{version}/generate_stream", body)
    assert "".join(part["text_output"] for part in events(response)) == got["text_output"]


def test_infer_gives_the_likeliest_text_too(endpoint: GenerationEndpoint) -> None:
    inputs = [
        {"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["hello"]},
        {"name": "max_tokens", "datatype": "INT64", "shape": [1], "data": [8]},
    ]
    got = whole(endpoint, "/v2/models/tiny/infer", {"inputs": inputs})
    body = {"text_input": "hello", "parameters": {"temperature": 0, "max_tokens": 8}}
    assert got["outputs"][0]["data"] == [whole(endpoint, GENERATE, body)["text_output"]]


def test_a_seed_gives_the_same_text_again_whatever_came_between(endpoint: GenerationEndpoint) -> None:
    def said(**more: Any) -> str:
        got = whole(endpoint, CHAT, chat(temperature=1.5, max_tokens=20, **more))
        return str(got["choices"][0]["message"]["content"])

    first = said(seed=4)
    assert said(seed=5) != first
    whole(endpoint, CHAT, chat(messages=[{"role": "user", "content": "something else " * 9}]))
    assert said(seed=4) == first


def test_a_second_question_reads_only_what_is_new(endpoint: GenerationEndpoint) -> None:
    history = [*MESSAGES, {"role": "assistant", "content": "a word " * 12}]
    whole(endpoint, CHAT, chat(messages=history))
    more = [*history, {"role": "user", "content": "b c d e f g h i j k l m n o p q r s t u v w x y z" * 2}]
    got = whole(endpoint, CHAT, chat(messages=more))
    assert got["usage"]["prompt_tokens_details"]["cached_tokens"] > 90


def test_another_tenant_finds_nothing_of_what_was_asked(endpoint: GenerationEndpoint) -> None:
    messages = [{"role": "user", "content": "a secret " * 12}]

    def cached(tenant: str) -> int:
        got = whole(endpoint, CHAT, chat(messages=messages), tenant=tenant, scopes="infer:*", key="k")
        return int(got["usage"]["prompt_tokens_details"]["cached_tokens"])

    assert [cached(tenant) > 0 for tenant in ("acme", "acme", "globex", "globex")] == [False, True] * 2


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"audio": {}}, "audio"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 5}, "max_tokens"),
        ({"seed": 1.5}, "seed"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"chunk": 1}}, "stream_options"),
        ({"messages": []}, "messages"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not_done_is_refused_by_name(
    endpoint: GenerationEndpoint, more: dict[str, Any], param: str
) -> None:
    error = whole(endpoint, CHAT, chat(**more), 400)["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"]
    assert error["code"]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "tool", "content": "x"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": [{"type": "image_url"}]}],
        [{"role": "user", "content": "x", "name": "me"}],
        ["x"],
        "x",
    ],
)
def test_messages_that_cannot_be_read_are_refused(endpoint: GenerationEndpoint, messages: Any) -> None:
    error = whole(endpoint, CHAT, chat(messages=messages), 400)["error"]
    assert "messages" in error["message"]


def test_options_that_say_what_is_done_anyway_are_taken(endpoint: GenerationEndpoint) -> None:
    neutral = {"n": 1, "logprobs": False, "tools": [], "response_format": {"type": "text"}, "user": "me"}
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    messages = [{"role": "user", "content": parts}]
    got = whole(endpoint, CHAT, chat(**neutral, seed=None, messages=messages))
    assert got["choices"] == whole(endpoint, CHAT, chat())["choices"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_too_long_is_refused_in_openais_words(
    endpoint: GenerationEndpoint, *, stream: bool
) -> None:
    messages = [{"role": "user", "content": "a" * CONTEXT}]
    error = whole(endpoint, CHAT, chat(messages=messages, stream=stream), 400)["error"]
    assert error["code"] == "context_length_exceeded"
    assert error["param"] == "messages"
    assert error["message"].startswith(
        f"This model's maximum context length is {CONTEXT} tokens. However, you "
    )


def test_another_model_is_not_found(endpoint: GenerationEndpoint) -> None:
    error = whole(endpoint, CHAT, chat(model="gpt-5"), 404)["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "error" in whole(endpoint, "/v2/models/other/generate", {"text_input": "x"}, 404)
    assert "error" in whole(endpoint, "/v2/models/tiny/versions/1/generate", {"text_input": "x"}, 404)


@pytest.mark.parametrize(
    ("scopes", "status"), [("infer:tiny", 200), ("infer:*", 200), ("infer:digits read:*", 404)]
)
def test_scopes_are_asked_where_the_path_names_no_model(
    endpoint: GenerationEndpoint, scopes: str, status: int
) -> None:
    whole(endpoint, CHAT, chat(), status, tenant="acme", scopes=scopes, key="k")


@pytest.mark.parametrize(("scopes", "status"), [("infer:small", 200), ("infer:tiny", 404)])
def test_scopes_of_a_fallback_are_those_of_the_model_that_was_asked(
    endpoint: GenerationEndpoint, capsys: pytest.CaptureFixture[str], scopes: str, status: int
) -> None:
    sent: dict[str, Any] = {
        "httpMethod": "POST",
        "path": CHAT,
        "headers": {},
        "body": json.dumps(chat()),
    }
    sent["requestContext"] = {
        "authorizer": {"tenant": "acme", "scopes": scopes, "key": "k"},
        "hotplateFallback": {"asked": "small", "is_again": True},
    }
    assert endpoint(sent, Context())["statusCode"] == status
    (line,) = usage_lines(capsys)
    assert (line["status"], line["asked"], line["requests"]) == (status, "small", 0)


def test_a_tenant_who_has_spent_the_month_is_refused(endpoint: GenerationEndpoint) -> None:
    spent = {"tenant": "acme", "scopes": "infer:*", "key": "k", "spent": "budget", "spent_text": "spent"}
    assert whole(endpoint, CHAT, chat(), 402, **spent)["error"]["code"] == "budget_spent"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text_input": 3},
        {"text_input": "x", "parameters": {"top_k": 3}},
        {"text_input": "x", "parameters": {"temperature": -1}},
        {"text_input": "x", "id": 3},
        {"text_input": "x", "more": 3},
        "{",
    ],
)
def test_generate_refuses_what_it_cannot_read(endpoint: GenerationEndpoint, body: Any) -> None:
    assert isinstance(whole(endpoint, GENERATE, body, 400)["error"], str)


def test_another_method_is_not_found(endpoint: GenerationEndpoint) -> None:
    assert ask(endpoint, CHAT, "", method="GET")["statusCode"] == 404


def test_other_paths_are_the_endpoints_own(endpoint: GenerationEndpoint) -> None:
    assert ask(endpoint, "/v2/models/tiny/ready", "", method="GET")["statusCode"] == 200


def test_a_request_has_one_line_with_its_tokens(
    endpoint: GenerationEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    body = whole(endpoint, CHAT, chat(), tenant="acme", scopes="infer:*", key="k")
    sent = list(ask(endpoint, CHAT, chat(stream=True)).chunks)
    lines = usage_lines(capsys)
    assert [(line["status"], line["tokens_in"], line["tokens_out"], line["rows"]) for line in lines] == [
        (200, body["usage"]["prompt_tokens"], 12, 1)
    ] * 2
    assert lines[0]["tenant"] == "acme"
    assert lines[1]["bytes_out"] == sum(map(len, sent))
    assert all(read_usage(json.dumps(line)) for line in lines)
    assert "hello" not in json.dumps(lines)


def test_a_stream_that_is_cut_ends_within_a_token_and_has_its_line(
    endpoint: GenerationEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    chunks = iter(ask(endpoint, CHAT, chat(max_tokens=300, stream=True)).chunks)
    for _ in range(4):
        next(chunks)
    assert not usage_lines(capsys)
    chunks.close()
    (line,) = usage_lines(capsys)
    assert line["status"] == 499
    assert 1 <= line["tokens_out"] <= 4
    assert whole(endpoint, CHAT, chat())["choices"] == whole(endpoint, CHAT, chat())["choices"]


def test_a_stream_whose_time_runs_out_has_its_line(
    endpoint: GenerationEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    response = ask(endpoint, CHAT, chat(max_tokens=300, stream=True))
    chunks: Any = iter(response.chunks)
    next(chunks)
    with pytest.raises(TimeoutError):
        chunks.throw(TimeoutError())
    assert usage_lines(capsys)[0]["status"] == 500
    assert b'"error":' in response.on_error(TimeoutError())


@pytest.mark.parametrize(("path", "body"), [(CHAT, chat()), (GENERATE, {"text_input": "x"})])
def test_a_fault_before_the_first_token_is_an_answer(
    path: str, body: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = GenerationEndpoint(lambda: load(fails_after=0))
    path = path.replace("generate", "generate_stream")
    result = ask(broken, path, body | {"stream": True} if path == CHAT else body)
    assert result["statusCode"] == 500
    assert "secret" not in result["body"]
    assert [line["status"] for line in usage_lines(capsys)] == [500]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat(stream=True)),
        ("/v2/models/tiny/generate_stream", {"text_input": "x", "parameters": {"temperature": 0}}),
    ],
)
def test_a_fault_within_a_stream_is_an_event(
    path: str, body: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = GenerationEndpoint(lambda: load(fails_after=3))
    response = ask(broken, path, body)
    got: list[bytes] = []
    with pytest.raises(InferenceError) as fault:
        got.extend(response.chunks)
    assert len(got) >= 3
    told = response.on_error(fault.value)
    assert told.startswith(b"data: {")
    assert told.endswith(b"\n\n")
    assert json.loads(told[6:])["error"]
    assert b"secret" not in told
    # What runs the function writes this to its log.
    assert str(fault.value) == "InferenceError: the graph failed"
    (line,) = usage_lines(capsys)
    assert (line["status"], line["tokens_out"]) == (500, 3)


def test_where_nobody_waits_it_is_warmed_up() -> None:
    version, ledger = published_llama(), Ledger()
    settings = version.settings._replace(init_type="provisioned-concurrency")
    build_text_model(fetch_here(settings, version.reader, ledger), settings, ledger)
    assert "warmup" in ledger.phases


def test_the_reason_is_known_at_the_end() -> None:
    model = load()
    ids, most = model.vocabulary.of_text("hello", 3)
    answer = model.answer(Asked(ids, most, 0))
    assert answer.reason is None
    assert "".join(answer)
    assert answer.reason == "length"
