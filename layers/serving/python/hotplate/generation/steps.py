"""A language model between the steps that every model has: text in, text out, always the likeliest token.

So it is published, checked on its golden rows, and asked by `POST …/infer` like any other model. There its
graph runs on plain arrays, which copy all keys and values for every token; chats go through `CachedGraph`
instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import ShapeMismatchError, ValueRangeError
from hotplate.generation.generator import Answer, Asked, read_vocabulary
from hotplate.runtime.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hotplate.generation.generator import Vocabulary

    Array = np.ndarray[Any, Any]
    Arrays = Mapping[str, Array]
    Run = Callable[[Arrays], Arrays]

__all__ = ["MAX_INFER_TOKENS", "PlainGraph", "steps_of", "transforms"]

# Tokens of an answer at most, and where nothing is said. Ours: what one vCPU makes while API Gateway waits.
MAX_INFER_TOKENS = 256
_DEFAULT = 64


class PlainGraph:
    """A graph with keys and values, by a function from all feeds to all outputs."""

    def __init__(self, run: Run, layers: int, heads: int, size: int) -> None:
        """Take a graph of `layers`, each with keys and values of `heads` times `size` numbers a token."""
        self._run, self._length = run, 0
        self._shape = (1, heads, 0, size)
        self._names = [f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")]
        self._past: dict[str, Array] = {}
        self.reused = 0

    def read(self, ids: Sequence[int], room: int) -> Array:
        """Return the logits after a prompt, float32 [V]."""
        self._length = 0
        self._past = {f"past_key_values.{name}": np.zeros(self._shape, np.float32) for name in self._names}
        return self._more(ids)

    def forget(self) -> None:
        """Do nothing: no prompt is remembered."""

    def step(self, index: int) -> Array:
        """Return the logits after one token more, float32 [V]."""
        return self._more([index])

    def _more(self, ids: Sequence[int]) -> Array:
        self._length += len(ids)
        tokens = {
            "input_ids": np.array([ids], np.int64),  # (1, S)
            "attention_mask": np.ones((1, self._length), np.int64),
        }
        outputs = self._run({**tokens, **self._past})
        self._past = {f"past_key_values.{name}": outputs[f"present.{name}"] for name in self._names}
        logits: Array = outputs["logits"].reshape(-1)
        return logits


def transforms(assets: Mapping[str, bytes]) -> Transforms:
    """Return the steps of a version that generates text.

    Args:
        assets: As of `read_vocabulary`.

    Raises:
        LookupError, ValueError: As of `read_vocabulary`.
    """
    return steps_of(read_vocabulary(assets))


def steps_of(vocabulary: Vocabulary) -> Transforms:
    """Return the steps of a version with this tokenizer."""

    def preprocess(inputs: Arrays) -> dict[str, Array]:
        """Return `ids`, int64 [S], and `most`, int64 [].

        Args:
            inputs: `text_input`, object [1] of bytes, UTF-8; maybe `max_tokens`, int64 [1].

        Raises:
            RequestError: Not one text, no UTF-8, too many tokens.
        """
        texts = inputs["text_input"]
        if len(texts) != 1:
            raise ShapeMismatchError("text_input", expected="one text", received=str(len(texts)))
        most = int(inputs["max_tokens"][0]) if "max_tokens" in inputs else _DEFAULT
        if not 1 <= most <= MAX_INFER_TOKENS:
            raise ValueRangeError("max_tokens", expected=f"1 to {MAX_INFER_TOKENS}", received=str(most))
        try:
            text = texts[0].decode()
        except UnicodeDecodeError as fault:
            raise ValueRangeError("text_input", expected="UTF-8 text", received="other bytes") from fault
        return {
            "ids": np.array(vocabulary.of_text(text, most)[0], np.int64),
            "most": np.array(most, np.int64),
        }

    def rollout(feeds: Arrays, run: Run) -> Arrays:
        graph = PlainGraph(run, *vocabulary.config.caches)
        asked = Asked(feeds["ids"].tolist(), int(feeds["most"]), temperature=0)
        text = "".join(Answer(asked, graph, vocabulary))
        output = np.empty(1, object)
        output[0] = text.encode()
        return {"text_output": output}

    return Transforms(preprocess, _unchanged, rollout)


def _unchanged(outputs: Arrays) -> Arrays:
    return outputs
