"""Answers over a graph that says what it is told to."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from hotplate.errors import ContextLengthExceededError
from hotplate.generation.chat import Message
from hotplate.generation.generator import DEFAULT_TOKENS, Answer, Asked, Vocabulary, read_vocabulary
from tests.support.tiny_llama import BEGIN, CONTEXT, END, SHAPE, assets, config, vocabulary

VOCABULARY = vocabulary()
MARKS = VOCABULARY.tokeniser.marks


class Scripted:
    """A graph that wants these tokens, one after the other."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.left, self.reused, self.rooms = [*ids], 0, list[int]()

    def read(self, ids: Sequence[int], room: int) -> np.ndarray:
        self.rooms.append(room)
        return self.step(0)

    def forget(self) -> None:
        pass

    def step(self, index: int) -> np.ndarray:
        logits = np.zeros(SHAPE.words, np.float32)
        logits[self.left.pop(0)] = 9
        return logits


def answered(
    text: str, most: int = 100, *, ends: bool = True, stops: tuple[str, ...] = ()
) -> tuple[str, Answer]:
    ids = VOCABULARY.tokeniser.encode(text, 1 << 30) + ([MARKS[END]] if ends else [])
    answer = Answer(Asked([1, 2, 3], most, 0, stops=stops), Scripted(ids), VOCABULARY)
    return "".join(answer), answer


def test_the_mark_ends_an_answer_and_is_not_counted() -> None:
    text, answer = answered("hello")
    assert (text, answer.tokens, answer.prompt_tokens, answer.reason) == ("hello", 1, 3, "stop")


def test_an_answer_ends_at_its_length() -> None:
    text, answer = answered("abc", 2, ends=False)
    assert (text, answer.tokens, answer.reason) == ("ab", 2, "length")


def test_a_stop_string_ends_an_answer() -> None:
    text, answer = answered("ab. cd", stops=("b. ",))
    assert (text, answer.tokens, answer.reason) == ("a", 4, "stop")


def test_a_stop_string_that_is_found_with_the_last_token_is_the_reason() -> None:
    assert answered("ab", 2, ends=False, stops=("b",))[1].reason == "stop"


def test_a_character_in_many_tokens_comes_whole() -> None:
    ids = VOCABULARY.tokeniser.encode("😀", 1 << 30)
    answer = Answer(Asked([1], 10, 0), Scripted([*ids, MARKS[END]]), VOCABULARY)
    assert list(answer) == ["", "", "", "😀"]


def test_room_is_made_for_prompt_and_answer() -> None:
    graph = Scripted([MARKS[END]])
    list(Answer(Asked([1, 2], 30, 0), graph, VOCABULARY))
    assert graph.rooms == [32]


def test_a_conversation_is_marks_around_text() -> None:
    messages = [Message("system", "hello"), Message("user", f"hi {END}")]
    ids, most = VOCABULARY.of_messages(messages, None)
    assert most == min(DEFAULT_TOKENS, CONTEXT - len(ids))
    begin, end = MARKS[BEGIN], MARKS[END]
    assert [index for index in ids if index in (begin, end)] == [begin, end, begin, end, begin]
    assert VOCABULARY.tokeniser.decode(ids) == f"system\nhello\nuser\nhi {END}\nassistant\n"


def test_without_words_of_the_system_the_models_own_are_there() -> None:
    ids, _ = VOCABULARY.of_messages([Message("user", "x")], 1)
    assert VOCABULARY.tokeniser.decode(ids).startswith("system\nBe brief.\nuser\nx")


def test_an_empty_text_begins_as_texts_do() -> None:
    assert VOCABULARY.of_text("", 5) == ([MARKS[END]], 5)


def test_the_whole_context_may_be_used_and_no_token_more() -> None:
    text = "a" * (CONTEXT - 1)
    assert len(VOCABULARY.of_text(text, 1)[0]) == CONTEXT - 1
    with pytest.raises(ContextLengthExceededError) as refused:
        VOCABULARY.of_text(text + "a", 1)
    assert str(refused.value) == (
        f"This model's maximum context length is {CONTEXT} tokens. However, you requested {CONTEXT + 1} "
        f"tokens ({CONTEXT} in the prompt, 1 in the completion). Please reduce the length of the prompt or "
        f"completion."
    )


def test_without_a_length_the_prompt_alone_has_to_fit() -> None:
    assert VOCABULARY.of_text("a" * (CONTEXT - 1), None)[1] == 1
    with pytest.raises(ContextLengthExceededError, match=f"your prompt resulted in {CONTEXT} tokens"):
        VOCABULARY.of_text("a" * CONTEXT, None)


def test_a_tokenizer_without_the_marks_is_refused() -> None:
    files = assets() | {"generation.json": json.dumps(config(ends=["<|gone|>"])).encode()}
    with pytest.raises(ValueError, match=r"no marks <\|gone\|>"):
        read_vocabulary(files)


@pytest.mark.parametrize("change", [{"context": 1.5}, {"ends": []}, {"chat": {}}, {"caches": [0, 1, 1]}])
def test_a_configuration_that_is_none_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_vocabulary(assets() | {"generation.json": json.dumps(config(**change)).encode()})


def test_vocabulary_is_what_the_assets_say() -> None:
    assert isinstance(VOCABULARY, Vocabulary)
    assert VOCABULARY.ends == {MARKS[END]}
