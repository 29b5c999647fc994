"""English texts to named entities, tokens and vectors: spaCy's pipeline en_core_web_sm as a program.

Rules kept here:

1. The answers are those of `spacy.load(pipeline)(text)` with all of its parts: an entity never crosses the
   end of a sentence that the parser found, so leaving the parser out would change entities.
2. One text a run: an answer does not depend on the other texts of its request.
3. What spaCy remembers of a request (every new word) is forgotten after it, or a warm function would grow.
4. Bounds on characters, because memory grows with them, and on words, because the tokeniser's time grows
   with the square of a word's length: half a minute for 10,000 exclamation marks in a row.

Axes: N texts, 96 features. Places are in characters (Unicode code points) of the text, the end excluded.

Source: spaCy 3.8, https://spacy.io/api/doc (`ents`, `vector`) and https://spacy.io/usage/memory-management.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import spacy

from hotplate.errors import ShapeMismatchError, ValueRangeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["MAX_CHARACTERS", "MAX_TEXTS", "MAX_WORD", "WIDTH", "Entities", "example", "load"]

type Array = np.ndarray[Any, Any]

# Ours. Texts of a request, their characters together, and characters between two white spaces: what they
# allow is answered before API Gateway stops waiting, also on a busy machine.
MAX_TEXTS = 256
MAX_CHARACTERS = 20_000
MAX_WORD = 256

# Features of a vector. Source: the pipeline's config.cfg, components.tok2vec.model.encode.
WIDTH = 96


def load(assets: Path) -> Entities:
    """Return the program.

    Args:
        assets: Folder that `nlp.to_disk` wrote.
    """
    return Entities(spacy.load(assets))


def example() -> dict[str, Array]:
    """Return a request with one sentence, for a first run."""
    return {"text": _objects(["Ada Lovelace was born in London in 1815."])}


class Entities:
    """A pipeline with a parser, a tagger, a lemmatiser and named entities."""

    def __init__(self, nlp: spacy.Language) -> None:
        self._nlp = nlp

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return `entities` and `tokens`, object [N] of JSON, and `vector`, float32 [N, 96].

        Args:
            inputs: `text`, object [N] of bytes, UTF-8.

        Raises:
            ShapeMismatchError: There are too many texts.
            ValueRangeError: One is not UTF-8, or has too long a word, or they are too long together.
        """
        texts = _texts(inputs["text"])
        entities, tokens = [], []
        vectors = np.zeros((len(texts), WIDTH), np.float32)  # (N, 96); zeros where there is no token
        for row, text in enumerate(texts):
            with self._nlp.memory_zone():
                document = self._nlp(text)
                entities.append(_json([_entity(span) for span in document.ents]))
                tokens.append(_json([_token(token) for token in document]))
                if len(document):
                    vectors[row] = document.vector
        return {"entities": _objects(entities), "tokens": _objects(tokens), "vector": vectors}


def _texts(sent: Array) -> list[str]:
    if len(sent) > MAX_TEXTS:
        raise ShapeMismatchError("text", expected=f"at most {MAX_TEXTS} texts", received=str(len(sent)))
    texts = [_decoded(raw, f"text[{row}]") for row, raw in enumerate(sent)]
    total = sum(map(len, texts))
    if total > MAX_CHARACTERS:
        raise ValueRangeError(
            "text", expected=f"at most {MAX_CHARACTERS} characters in a request", received=str(total)
        )
    for row, text in enumerate(texts):
        longest = max(map(len, text.split()), default=0)  # splits where spaCy does: at every white space
        if longest > MAX_WORD:
            raise ValueRangeError(
                f"text[{row}]",
                expected=f"words of at most {MAX_WORD} characters",
                received=f"{longest} without white space",
            )
    return texts


def _decoded(raw: bytes, place: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as fault:
        raise ValueRangeError(place, expected="UTF-8 text", received="other bytes") from fault


def _entity(span: spacy.tokens.Span) -> dict[str, Any]:
    return {"text": span.text, "label": span.label_, "start": span.start_char, "end": span.end_char}


def _token(token: spacy.tokens.Token) -> dict[str, Any]:
    place = {"start": token.idx, "end": token.idx + len(token.text)}
    return {"text": token.text, "lemma": token.lemma_, "pos": token.pos_, **place}


def _json(found: list[dict[str, Any]]) -> str:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _objects(texts: Sequence[str]) -> Array:
    array = np.empty(len(texts), object)
    array[:] = [text.encode() for text in texts]
    return array
