"""The unchanged OpenAI client chats with the small language model."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import openai
import pytest

from hotplate.generation.chat import Message
from hotplate.generation.generator import Vocabulary, read_vocabulary
from hotplate_tools.training.stored import model_folder
from tests.support.http_call import call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionMessageParam

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
STORY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Write a long story about the sea."}]


@pytest.fixture(params=["/v1", "/openai/v1"])
def client(server: str, request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server + request.param, api_key="none", max_retries=0, timeout=120) as opened:
        yield opened


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    folder = model_folder("smollm2")
    return read_vocabulary(
        {name: (folder / name).read_bytes() for name in ("tokenizer.json", "generation.json")}
    )


def test_the_capital_of_france_is_paris(client: openai.OpenAI, vocabulary: Vocabulary) -> None:
    answer = client.chat.completions.create(model="smollm2", messages=QUESTION, temperature=0)
    (choice,) = answer.choices
    text = choice.message.content or ""
    assert "Paris" in text
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    prompt = vocabulary.of_messages([Message("user", "What is the capital of France?")], 1)[0]
    assert answer.usage.prompt_tokens == len(prompt)
    assert answer.usage.completion_tokens == len(vocabulary.tokeniser.encode(text, 999))


def test_a_stream_says_the_same_and_begins_long_before_its_end(client: openai.OpenAI) -> None:
    how = {"model": "smollm2", "messages": STORY, "temperature": 0.0, "max_tokens": 100}
    whole = client.chat.completions.create(**how)  # type: ignore[call-overload]
    started, first, parts = time.perf_counter(), 0.0, []
    for chunk in client.chat.completions.create(stream=True, **how):  # type: ignore[call-overload]
        parts.append(chunk.choices[0].delta.content or "")
        first = first or time.perf_counter() - started
    assert "".join(parts) == whole.choices[0].message.content
    assert len(parts) > 50
    assert first <= 0.35 * (time.perf_counter() - started)


def test_a_seed_gives_the_same_answer(client: openai.OpenAI) -> None:
    def said(seed: int) -> str | None:
        made = client.chat.completions.create(
            model="smollm2", messages=STORY, temperature=1, seed=seed, max_tokens=12
        )
        return made.choices[0].message.content

    assert said(1) == said(1)
    assert said(1) != said(2)


def test_a_stop_text_ends_the_answer_before_it(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="smollm2", messages=QUESTION, temperature=0, stop="s Par")
    assert answer.choices[0].message.content == "The capital of France i"
    assert answer.choices[0].finish_reason == "stop"


def test_a_text_is_gone_on_with(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="smollm2", prompt="The capital of France is", max_tokens=3, temperature=0
    )
    assert "Paris" in answer.choices[0].text


def test_too_long_a_prompt_is_refused_as_openai_does(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": "a b " * 9000}])
    assert refused.value.code == "context_length_exceeded"
    assert "maximum context length is 8192 tokens" in refused.value.message


def test_it_is_among_the_models(client: openai.OpenAI) -> None:
    assert "smollm2" in [model.id for model in client.models.list()]


def test_generate_streams_too(server: str) -> None:
    body = {"text_input": "The capital of France is", "parameters": {"temperature": 0, "max_tokens": 3}}
    raw = json.dumps(body).encode()
    whole = call(server, "POST", "/v2/models/smollm2/generate", raw)
    assert "Paris" in whole.json()["text_output"]
    stream = call(server, "POST", "/v2/models/smollm2/generate_stream", raw)
    assert stream.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(part[6:]) for part in stream.body.decode().split("\n\n") if part]
    assert "".join(event["text_output"] for event in events) == whole.json()["text_output"]
