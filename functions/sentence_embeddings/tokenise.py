"""BERT's tokens: text to words and punctuation, words to pieces of a vocabulary.

Our own, because the package `tokenizers` costs a cold start some 100 ms and brings 45 MB of packages
into the function, most of which a model never calls; this costs neither. The trainer compares it with
that package, which it follows to the character: white space, control characters, Chinese characters
as words of their own, accents off, lower case, then the longest piece first.

It differs where Unicode did after version 8, whose tables that package has: a few hundred marks and
some punctuation of rare scripts, all of which the vocabulary does not know anyway.

Standard library only.

Source: Devlin et al., "BERT" (2018), `tokenization.py`; huggingface/tokenizers, `BertNormalizer`,
`BertPreTokenizer`, `WordPiece`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Tokeniser"]

_BLANK = "\t\n\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_WORDS = re.compile(f"[^{_BLANK}]+")
_CHINESE = re.compile(
    "([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f])"
)
_SYMBOLS = frozenset("$+<=>^`|~")  # ASCII that Unicode calls symbols and BERT punctuation
_REMOVED = frozenset(("Cc", "Cf", "Co", "Cs"))


class Tokeniser:
    """The tokenizer of one `tokenizer.json`."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Read the vocabulary.

        Args:
            document: `tokenizer.json` of a WordPiece model without case.

        Raises:
            LookupError, ValueError: It is not that.
        """
        model, normaliser = document["model"], document["normalizer"]
        kind = (model["type"], normaliser["type"], document["pre_tokenizer"]["type"])
        if kind != ("WordPiece", "BertNormalizer", "BertPreTokenizer") or not normaliser["lowercase"]:
            raise ValueError(f"a WordPiece tokenizer of BERT without case was expected, got {' '.join(kind)}")
        self._pieces: dict[str, int] = model["vocab"]
        self._prefix: str = model["continuing_subword_prefix"]
        self._longest: int = model["max_input_chars_per_word"]
        self._unknown, self._first, self._last = (self._pieces[word] for word in ("[UNK]", "[CLS]", "[SEP]"))
        special = {token["content"]: token["id"] for token in document["added_tokens"]}
        self._special = re.compile("(" + "|".join(map(re.escape, special)) + ")")
        self._ids_of_special = special

    def encode(self, text: str, most: int) -> list[int]:
        """Return the ids of a text's tokens, `[CLS]` first and `[SEP]` last.

        Args:
            text: Of any length; what is beyond the last token is not looked at.
            most: Tokens at most, those two included; the rest is cut off.
        """
        return [self._first, *islice(self._ids(text), most - 2), self._last]

    def _ids(self, text: str) -> Iterator[int]:
        for part in self._special.split(text):
            if part in self._ids_of_special:
                yield self._ids_of_special[part]
                continue
            for found in _WORDS.finditer(part):
                for word in _split(found[0]):
                    yield from self._pieces_of(word)

    def _pieces_of(self, word: str) -> list[int]:
        """Return the longest pieces that make up the word, or that it is unknown."""
        if len(word) > self._longest:
            return [self._unknown]
        ids, start = [], 0
        while start < len(word):
            prefix = self._prefix if start else ""
            for end in range(len(word), start, -1):
                piece = self._pieces.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return [self._unknown]
            ids.append(piece)
            start = end
        return ids


def _split(raw: str) -> Iterator[str]:
    """Return the words of text without blanks, as the vocabulary has them."""
    # Text of ASCII letters and digits is the usual case, and none of what follows changes it but its case.
    if raw.isascii() and raw.isalnum():
        yield raw.lower()
        return
    kept = "".join(sign for sign in raw if sign != "\ufffd" and unicodedata.category(sign) not in _REMOVED)
    for part in _CHINESE.sub(r" \1 ", kept).split(" "):
        plain = unicodedata.normalize("NFD", part)
        bare = "".join(sign for sign in plain if unicodedata.category(sign) != "Mn").lower()
        start = 0
        for index, sign in enumerate(bare):
            if _is_punctuation(sign):
                if start < index:
                    yield bare[start:index]
                yield sign
                start = index + 1
        if start < len(bare):
            yield bare[start:]


@lru_cache(maxsize=4096)
def _is_punctuation(sign: str) -> bool:
    return sign in _SYMBOLS or unicodedata.category(sign).startswith("P")


def read(raw: bytes) -> Tokeniser:
    """Return the tokenizer of a `tokenizer.json`.

    Raises:
        LookupError, ValueError: It is none that is known here.
    """
    return Tokeniser(json.loads(raw))
