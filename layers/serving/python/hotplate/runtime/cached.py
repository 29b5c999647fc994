"""A language model's graph with the keys and values of what it has read, kept where they are.

    logits = graph.read(ids)     a prompt, in chunks; what the last one began with is not read again
    logits = graph.step(id)      one token more

Rules kept here:

1. Past and present are one buffer, so a token costs no copy of all before it. It is as long as the request
   needs, rounded up, and shrinks again: a conversation of 8,192 tokens takes 378 MB, one of 500 takes 24.
2. The same prompt gives the same logits, to the last bit, whatever was asked before. Only what a prompt's
   own runs have computed is used again: a single token goes through other kernels than several, which round
   otherwise, so an answer's own tokens are read again with the next prompt, and so are its last `_AT_LEAST`.
   Kernels take tokens in twos or more, and those that are left over otherwise: so runs begin and end at
   multiples of `_GRAIN`, but for a prompt's end.
3. A fault leaves nothing behind that is believed; nor does `forget`.

Axes: S tokens of a run, T tokens so far, V the vocabulary.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import GraphError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hotplate.runtime.session import Bound, Session

    Array = np.ndarray[Any, Any]

__all__ = ["CachedGraph"]

_PAST = re.compile(r"past_key_values\.(\d+\.(?:key|value))\Z")

# Tokens of a prompt that are read at once: fewer are slower, more take more memory for their scores.
_CHUNK = 256
# Least tokens of a run of a prompt that began with what is known.
_AT_LEAST = 32
# Tokens that the kernels take together divide this.
_GRAIN = 16
# Buffers grow by so many tokens.
_ROUND = 256


class CachedGraph:
    """One conversation at a time.

    Attributes:
        reused: Tokens of the last prompt that did not have to be read.
    """

    def __init__(self, session: Session, context: int) -> None:
        """Take a graph of at most `context` tokens.

        Raises:
            GraphError: Its tensors are not those of a model with keys and values.
        """
        shapes = {name: (shape, dtype) for name, shape, dtype in session.inputs}
        self._caches = {
            found[1]: spec for name, spec in shapes.items() if (found := _PAST.match(name)) is not None
        }
        wanted = {"logits", *(f"present.{name}" for name in self._caches)}
        others = shapes.keys() - {f"past_key_values.{name}" for name in self._caches}
        if (
            others != {"input_ids", "attention_mask"}
            or wanted != set(session.output_names)
            or not self._caches
        ):
            raise GraphError(
                "a graph with input_ids, attention_mask and past_key_values.N.key|value was expected, it has "
                f"{sorted(others)[:8]} beside {len(self._caches)} of the last"
            )
        words = session.output_shapes["logits"][-1]
        if words < 1:
            raise GraphError("the graph does not say how many logits it has")
        self._context = context
        self._mask = np.ones((1, context), np.int64)
        self._logits = np.zeros((1, 1, words), np.float32)
        self._bound: Bound = session.bind()
        self._bound.place(self._logits, outputs=["logits"])
        self._buffers: dict[str, Array] = {}
        self._room = 0
        self._known: list[int] = []  # read by a prompt's own runs
        self._length = 0
        self.reused = 0

    def read(self, ids: Sequence[int], room: int, *, go_on: Callable[[], None] = lambda: None) -> Array:
        """Return the logits after a prompt, float32 [V], valid until the next call.

        Args:
            ids: One token or more.
            room: Tokens that the prompt and its answer have together, at most the context.
            go_on: Called before each chunk; what it raises ends the reading.

        Raises:
            InferenceError: The graph failed.
        """
        known, self._known = self._known, []
        start = _shared(known, ids[: max(len(ids) - _AT_LEAST, 0)]) // _GRAIN * _GRAIN
        self._make_room(room, start)
        self.reused = self._length = start
        for begin, end in _chunks(start, len(ids)):
            go_on()
            self._run(ids[begin:end])
        if len(ids) >= _AT_LEAST:
            self._known = list(ids)
        return self._last()

    def forget(self) -> None:
        """Read the next prompt as a whole: it is another caller's, who must not find out what was asked."""
        self._known = []

    def step(self, index: int) -> Array:
        """Return the logits after one token more, float32 [V], valid until the next call.

        Raises:
            InferenceError: The graph failed.
        """
        self._run([index])
        return self._last()

    def _last(self) -> Array:
        flat: Array = self._logits.reshape(-1)
        return flat

    def _run(self, ids: Sequence[int]) -> None:
        total = self._length + len(ids)
        self._bound.place(np.array([ids], np.int64), inputs=["input_ids"])  # (1, S)
        self._bound.place(self._mask[:, :total], inputs=["attention_mask"])  # (1, T)
        self._bound.run()
        self._length = total

    def _make_room(self, room: int, start: int) -> None:
        """Give the buffers room for so many tokens; the first `start` of what is in them stay."""
        size = min(-(-room // _ROUND) * _ROUND, self._context)
        if size <= self._room <= size + 4 * _ROUND:
            return
        for name, (shape, dtype) in self._caches.items():
            # One at a time, so that there are never two of each.
            buffer = np.zeros((1, shape[1], size, shape[3]), dtype)
            if start:
                buffer[:, :, :start] = self._buffers[name][:, :, :start]
            self._bound.place(buffer, inputs=[f"past_key_values.{name}"], outputs=[f"present.{name}"])
            self._buffers[name] = buffer
        self._room = size


def _shared(known: Sequence[int], ids: Sequence[int]) -> int:
    """Return how many tokens both begin with."""
    pairs = enumerate(zip(known, ids, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(known), len(ids)))


def _chunks(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of a prompt from `start`; none is shorter than `_AT_LEAST`, but of a prompt that is."""
    while start < end:
        size = min(_CHUNK, end - start)
        if 0 < end - start - size < _AT_LEAST:
            size = (end - start - _AT_LEAST) // _GRAIN * _GRAIN
        yield start, start + size
        start += size
