"""A spaCy pipeline as a function serves it: texts in, entities, scores and vectors out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import spacy

from hotplate.errors import ValueRangeError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

type Array = np.ndarray[Any, Any]


class Entities:
    def __init__(self, nlp: Any) -> None:
        self.nlp = nlp

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            texts = [raw.decode() for raw in inputs["text"]]
        except UnicodeDecodeError as fault:
            raise ValueRangeError("input 'text'", expected="UTF-8 text", received="other bytes") from fault
        documents = list(self.nlp.pipe(texts))
        found = [(index, entity) for index, document in enumerate(documents) for entity in document.ents]
        return {
            "entity": texts_of([entity.text for _, entity in found]),
            "label": texts_of([entity.label_ for _, entity in found]),
            "place": np.array([(n, e.start_char, e.end_char) for n, e in found], np.int64).reshape(-1, 3),
            "scores": np.array(
                [[doc.cats[name] for name in ("GOOD", "BAD")] for doc in documents], np.float32
            ),
            "vector": np.array([document.vector for document in documents], np.float32).reshape(-1, 4),
        }


def texts_of(texts: list[str]) -> Array:
    array = np.empty(len(texts), object)
    array[:] = [text.encode() for text in texts]
    return array


def load(assets: Path) -> Entities:
    return Entities(spacy.load(assets))
