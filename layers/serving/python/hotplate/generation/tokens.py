"""Byte-level tokens: text to ids of a vocabulary, ids to bytes.

Our own, because the package `tokenizers` is 10 MB more in the function and takes four times as long to read
its file as this does; the builder compares both on thousands of texts. Pairs are merged from a heap, so a
word of a hundred thousand letters costs n log n, and nobody can make a function sit over one.

Text is never read for marks: a caller who writes `<|im_end|>` gets those ten characters, not the mark.

Standard library and orjson only. Source: huggingface/tokenizers, `BPE`; Radford et al., GPT-2, `encoder.py`.
"""

from __future__ import annotations

from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

import orjson

from hotplate.generation.words import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Tokeniser", "read_tokeniser"]

# Words whose tokens are remembered, and the longest that is. Ours: what a conversation says again.
_REMEMBERED = 16_384
_LONGEST = 64


def _characters() -> dict[int, str]:
    """Return the character that stands for each byte in a byte-level vocabulary."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + at) for at, byte in enumerate(hidden)}


_CHARACTER = _characters()
_BYTE = {sign: byte for byte, sign in _CHARACTER.items()}
# The same as a translation of text that was made of bytes, one character a byte.
_SHOWN = {byte: sign for byte, sign in _CHARACTER.items() if chr(byte) != sign}


class Tokeniser:
    """The tokenizer of one `tokenizer.json`.

    Attributes:
        marks: Ids of what is no text, by name.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        """Read the vocabulary.

        Args:
            document: `tokenizer.json` of a byte-level BPE with digits one by one.

        Raises:
            LookupError, ValueError: It is not that.
        """
        model, before = document["model"], document["pre_tokenizer"]
        steps = [step["type"] for step in before.get("pretokenizers", [before])]
        if (model["type"], steps, document.get("normalizer")) != ("BPE", ["Digits", "ByteLevel"], None):
            raise ValueError(f"a byte-level BPE after digits was expected, got {model['type']} {steps}")
        self._ids: dict[str, int] = model["vocab"]
        self._texts = [""] * len(self._ids)
        for text, index in self._ids.items():
            self._texts[index] = text
        self._ranks: dict[str, int] = {pair: rank for rank, pair in enumerate(model["merges"])}
        self.marks: dict[str, int] = {each["content"]: each["id"] for each in document["added_tokens"]}
        self._marked = frozenset(self.marks.values())
        self._remembered = lru_cache(_REMEMBERED)(self._merged)

    def encode(self, text: str, most: int) -> list[int]:
        """Return the ids of a text's tokens, `most` or a few more at most.

        Args:
            text: Of any length; what is beyond is not looked at.
            most: Tokens after which nothing more is read.
        """
        ids: list[int] = []
        for word in words_of(text):
            ids += self._remembered(word) if len(word) <= _LONGEST else self._merged(word)
            if len(ids) >= most:
                break
        return ids

    def bytes_of(self, index: int) -> bytes:
        """Return the bytes that a token stands for: none for a mark, and for an id without a token."""
        if index in self._marked or not 0 <= index < len(self._texts):
            return b""
        return bytes(_BYTE[sign] for sign in self._texts[index])

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of tokens; what is no UTF-8 as U+FFFD."""
        return b"".join(map(self.bytes_of, ids)).decode("utf-8", "replace")

    def _merged(self, word: str) -> list[int]:
        """Return a word's tokens: the pair of neighbours of the least rank is merged, again and again."""
        # A byte that the vocabulary has no token for is left out, as by the package: control characters,
        # mostly.
        parts = [sign for sign in word.encode().decode("latin-1").translate(_SHOWN) if sign in self._ids]
        before, after = [*range(-1, len(parts) - 1)], [*range(1, len(parts) + 1)]
        ranks, end = self._ranks, len(parts)
        heap = [
            (rank, at)
            for at in range(end - 1)
            if (rank := ranks.get(f"{parts[at]} {parts[at + 1]}")) is not None
        ]
        heapify(heap)
        while heap:
            rank, at = heappop(heap)
            second = after[at]
            # A pair may have been merged with others since it was put there.
            if not parts[at] or second >= end or ranks.get(f"{parts[at]} {parts[second]}") != rank:
                continue
            parts[at], parts[second] = parts[at] + parts[second], ""
            after[at] = third = after[second]
            if third < end:
                before[third] = at
            for left, right in ((before[at], at), (at, third)):
                if left >= 0 and right < end:
                    found = ranks.get(f"{parts[left]} {parts[right]}")
                    if found is not None:
                        heappush(heap, (found, left))
        return [self._ids[part] for part in parts if part]


def read_tokeniser(raw: bytes) -> Tokeniser:
    """Return the tokenizer of a `tokenizer.json`.

    Raises:
        LookupError, ValueError: It is none that is known here.
    """
    return Tokeniser(orjson.loads(raw))
