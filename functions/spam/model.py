"""What the spam model does around its graph: mails to token numbers, probabilities to a label.

Rules kept here:

1. Pure, NumPy and the standard library only. The vocabulary is the version's asset.
2. Of a whole mail the subject and the text are read, and a mark for each HTML tag. The other headers are
   left out: in the data they tell on whose machine a mail arrived, which says more about the data
   than about spam.
3. Any bytes are a text: what is no UTF-8 is replaced, because mails come in every encoding.
4. The first `TOKENS` tokens are read, the last of them first: the network ends with the subject.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.runtime.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Array = np.ndarray[Any, Any]

__all__ = [
    "FIRST",
    "LABELS",
    "PADDING",
    "TOKENS",
    "UNKNOWN",
    "VOCABULARY",
    "token_numbers",
    "transforms",
    "words",
]

TOKENS = 100
LABELS = (b"ham", b"spam")
VOCABULARY = "vocabulary.json"

PADDING, UNKNOWN, FIRST = 0, 1, 2

# Ours: a mail has a hundred tokens long before that, in characters.
MAX_TEXT = 100_000

_TOKEN = re.compile(r"[a-z]+|[0-9]+|[!$%#<>@?*=]")
_FIELD = re.compile(r"[!-9;-~]+:")
_BLANK_LINE = re.compile(r"\r?\n\r?\n")
# What stands between the tags of these is not read by people.
_TAG = re.compile(r"<(/?)(script\b|style\b)?[^<>]{0,400}>", re.IGNORECASE)


def transforms(assets: Mapping[str, bytes]) -> Transforms:
    """Return the steps for a version.

    Args:
        assets: `VOCABULARY`: a JSON list of words, the commonest first.

    Raises:
        LookupError, ValueError: The asset is not there, or not that.
    """
    listed = json.loads(assets[VOCABULARY])
    if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
        raise ValueError(f"{VOCABULARY}: a list of words was expected")
    numbers = {word: FIRST + rank for rank, word in enumerate(listed)}

    def preprocess(inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return `tokens`, int32 [N, TOKENS], for `text`, object [N] of bytes."""
        return {"tokens": token_numbers(inputs["text"], numbers)}

    return Transforms(preprocess, _labelled, rollout=_run)


def _run(
    feeds: Mapping[str, Array], run: Callable[[Mapping[str, Array]], Mapping[str, Array]]
) -> Mapping[str, Array]:
    # ONNX Runtime's LSTM divides by the number of rows: none would end the process.
    return run(feeds) if len(feeds["tokens"]) else {"probabilities": np.empty((0, len(LABELS)), np.float32)}


def token_numbers(texts: Array, numbers: Mapping[str, int]) -> Array:
    """Return int32 [N, TOKENS] for object [N] of bytes."""
    tokens = np.full((len(texts), TOKENS), PADDING, np.int32)
    for row, raw in enumerate(texts):
        found = [numbers.get(word, UNKNOWN) for word in islice(words(raw), TOKENS)]
        if found:
            tokens[row, -len(found) :] = found[::-1]
    return tokens


def words(raw: bytes) -> Iterator[str]:
    """Yield the tokens of a text: lower-case words, `0` for numbers, `<` for tags, marks that shout."""
    text = raw[:MAX_TEXT].decode("utf-8", "replace")
    told, body = _parted(text)
    text = f"{told}\n{_seen(body)}"
    for match in _TOKEN.finditer(text.lower()):
        word = match[0]
        yield "0" if word[0].isdigit() else word


def _parted(text: str) -> tuple[str, str]:
    """Return what is read of a mail's headers, and its body; of what has no headers, nothing and all."""
    end = _BLANK_LINE.search(text)
    head = text[: end.start()].splitlines() if end else []
    head = head[1:] if head and head[0].startswith("From ") else head
    folded = [line.startswith((" ", "\t")) for line in head]
    if end is None or not head or folded[0]:
        return "", text
    if not all(is_folded or _FIELD.match(line) for line, is_folded in zip(head, folded, strict=True)):
        return "", text
    told, is_told = [], False
    for line, is_folded in zip(head, folded, strict=True):
        name, _, value = ("", "", line) if is_folded else line.partition(":")
        is_told = is_told if is_folded else name.lower() == "subject"
        told += [value] if is_told else []
    return " ".join(told), text[end.end() :]


def _seen(body: str) -> str:
    """Return a text with ` < ` for each tag and nothing of scripts and styles; one pass, whatever comes."""
    parts, at, is_hidden = [], 0, False
    for tag in _TAG.finditer(body):
        if not is_hidden:
            parts.append(body[at : tag.start()])
        at = tag.end()
        is_hidden = bool(tag[2]) and not tag[1] if tag[2] or not is_hidden else True
    if not is_hidden:
        parts.append(body[at:])
    return " < ".join(parts)


def _labelled(outputs: Mapping[str, Array]) -> dict[str, Array]:
    label = np.empty(len(outputs["probabilities"]), object)
    label[:] = [LABELS[index] for index in outputs["probabilities"].argmax(axis=1)]
    return {**outputs, "label": label}
