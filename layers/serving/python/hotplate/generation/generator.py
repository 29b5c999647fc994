"""Answers, token by token: what the graph, the tokenizer, the sampling and the stop strings make together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from hotplate.errors import ContextLengthExceededError
from hotplate.generation.chat import CONFIG, TOKENIZER, read_config
from hotplate.generation.sampling import chooser
from hotplate.generation.text import TextStream
from hotplate.generation.tokens import read_tokeniser

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from hotplate.generation.chat import Config, Message
    from hotplate.generation.tokens import Tokeniser

    Array = np.ndarray[Any, Any]

__all__ = ["DEFAULT_TOKENS", "Answer", "Asked", "Graph", "Vocabulary", "read_vocabulary"]

# Why an answer has ended, in OpenAI's words.
type Reason = Literal["stop", "length"]

# Tokens of an answer where the caller names no number. Ours: some hundred words, a few seconds' work.
DEFAULT_TOKENS = 512

# A prompt is read up to so many times the context, to say how many tokens came.
_COUNTED = 4


class Graph(Protocol):
    """What gives logits: `hotplate.runtime.cached.CachedGraph`, or `hotplate.generation.steps.PlainGraph`.

    Attributes:
        reused: Tokens of the last prompt that did not have to be read.
    """

    reused: int

    def read(self, ids: Sequence[int], room: int) -> Array:
        """Return the logits after a prompt, float32 [V]; with its answer it has `room` tokens."""

    def step(self, index: int) -> Array:
        """Return the logits after one token more, float32 [V]."""

    def forget(self) -> None:
        """Use nothing of earlier prompts again."""


class Asked(NamedTuple):
    """How an answer is to be made.

    Attributes:
        ids: The prompt's tokens.
        most: Tokens of the answer at most.
        temperature, top_p, seed: As of `chooser`.
        stops: Strings before which it ends.
    """

    ids: Sequence[int]
    most: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stops: tuple[str, ...] = ()


class Vocabulary(NamedTuple):
    """The tokenizer of a version, and how it is used.

    Attributes:
        tokeniser, config: As the version's assets say.
        ends: Ids after which an answer has ended.
    """

    tokeniser: Tokeniser
    config: Config
    ends: frozenset[int]

    def of_messages(self, messages: Sequence[Message], most: int | None) -> tuple[list[int], int]:
        """Return the tokens of a conversation of one message or more, and how many its answer may have.

        Raises:
            ContextLengthExceededError: They are more than the context holds.
        """
        ids = self.config.chat.encode(messages, self.tokeniser, self._counted)
        return ids, self._room(ids, most, "messages")

    def of_text(self, prompt: str, most: int | None) -> tuple[list[int], int]:
        """Return the tokens of a text that is to be gone on with; otherwise as `of_messages`."""
        # Nothing at all is begun as the model's texts begin: after the mark that ended the one before.
        ids = self.tokeniser.encode(prompt, self._counted) or [min(self.ends)]
        return ids, self._room(ids, most, "prompt")

    @property
    def _counted(self) -> int:
        return _COUNTED * self.config.context

    def _room(self, ids: Sequence[int], most: int | None, what: str) -> int:
        context, least = self.config.context, 1 if most is None else most
        if len(ids) + least > context:
            raise _too_long(what, context, len(ids), most)
        return min(DEFAULT_TOKENS, context - len(ids)) if most is None else most


def _too_long(what: str, context: int, prompt: int, answer: int | None) -> ContextLengthExceededError:
    """Return the refusal, in OpenAI's words; `answer` is None where no number was asked for."""
    if answer is None:
        came = f"your {what} resulted in {prompt} tokens. Please reduce the length of the {what}."
    else:
        came = (
            f"you requested {prompt + answer} tokens ({prompt} in the {what}, {answer} in the completion). "
            f"Please reduce the length of the {what} or completion."
        )
    return ContextLengthExceededError(
        what,
        expected=f"at most {context} tokens",
        received=f"{prompt + (answer or 0)} tokens",
        words=f"This model's maximum context length is {context} tokens. However, {came}",
    )


class Answer:
    """One answer while it is made. Iterated once; ending early costs nothing more than the token at hand.

    Attributes:
        prompt_tokens: Of the prompt.
        tokens: Of the answer so far, without the mark that ended it.
        reused: Of the prompt's tokens those that were known from the one before.
        reason: Why it has ended: `stop` by the model or a stop string, `length` by `most`; None before that.
    """

    def __init__(self, asked: Asked, graph: Graph, vocabulary: Vocabulary) -> None:
        self._asked, self._graph, self._vocabulary = asked, graph, vocabulary
        self.prompt_tokens = len(asked.ids)
        self.tokens = 0
        self.reused = 0
        self.reason: Reason | None = None

    def __iter__(self) -> Iterator[str]:
        """Yield the text in pieces, one a token; "" where it is not sure yet.

        Raises:
            InferenceError: The graph failed.
        """
        asked, vocabulary = self._asked, self._vocabulary
        choose = chooser(asked.temperature, asked.top_p, asked.seed)
        stream = TextStream(asked.stops)
        logits = self._graph.read(asked.ids, self.prompt_tokens + asked.most)
        self.reused = self._graph.reused
        while True:
            index = choose(logits)
            if index in vocabulary.ends:
                self.reason = "stop"
                break
            self.tokens += 1
            yield stream.feed(vocabulary.tokeniser.bytes_of(index))
            if stream.stopped:
                self.reason = "stop"
                break
            if self.tokens == asked.most:
                self.reason = "length"
                break
            logits = self._graph.step(index)
        rest = stream.finish()
        if stream.stopped:  # by what was held back: the end of an unfinished character
            self.reason = "stop"
        if rest:
            yield rest


def read_vocabulary(assets: Mapping[str, bytes]) -> Vocabulary:
    """Return the tokenizer that a version's assets are.

    Args:
        assets: `CONFIG` and `TOKENIZER`, by path.

    Raises:
        LookupError, ValueError: They are not there, or do not fit each other.
    """
    config = read_config(assets[CONFIG])
    tokeniser = read_tokeniser(assets[TOKENIZER])
    needed = {*config.ends, config.chat.begin, config.chat.end}
    if unknown := sorted(needed - tokeniser.marks.keys()):
        raise ValueError(f"the tokenizer has no marks {', '.join(unknown)}")
    return Vocabulary(tokeniser, config, frozenset(tokeniser.marks[end] for end in config.ends))
