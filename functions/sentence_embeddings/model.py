"""What the sentence-embeddings model does around its graph: texts to tokens, token vectors to one a text.

Rules kept here:

1. Pure, NumPy and the standard library only; the vocabulary is the version's asset `tokenizer.json`.
2. A text is cut off after `MAX_TOKENS` tokens; those beyond do not count.
3. One text a run: nothing is padded, memory is that of one text, and it is half as long again in
   batches, whose short texts are computed at the length of the longest.
4. An embedding is the mean of the text's token vectors at length 1: the product of two is the cosine of
   their angle.

Axes: N texts, S tokens, 384 features.

Source: sentence-transformers, all-MiniLM-L6-v2 (256 tokens, mean pooling, normalised).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from functions.sentence_embeddings.tokenise import read
from hotplate.errors import ShapeMismatchError, ValueRangeError
from hotplate.runtime.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Array = np.ndarray[Any, Any]
    Arrays = Mapping[str, Array]
    Run = Callable[[Arrays], Arrays]

__all__ = ["FEATURES", "MAX_TEXTS", "MAX_TOKENS", "MAX_WORK", "TEXT_WORK", "TOKENIZER", "transforms"]

TOKENIZER = "tokenizer.json"
FEATURES = 384

# Tokens of a text, its first and last mark included. Source: as in the module's docstring.
MAX_TOKENS = 256

# Work in a request, in tokens; a text costs as much as `TEXT_WORK` tokens before its first. Ours: half of
# what one vCPU does while API Gateway waits, so that a batch is refused with words and not by a time-out.
MAX_WORK = 16_384
TEXT_WORK = 16

# Texts in a request. Source: OpenAI API reference, "Create embeddings".
MAX_TEXTS = 2048


def transforms(assets: Mapping[str, bytes]) -> Transforms:
    """Return the steps for a version.

    Args:
        assets: `TOKENIZER`: a `tokenizer.json` of BERT without case.

    Raises:
        LookupError, ValueError: The asset is not there, or not that.
    """
    tokeniser = read(assets[TOKENIZER])

    def preprocess(inputs: Arrays) -> dict[str, Array]:
        """Return `tokens`, object [N] of lists of ids.

        Args:
            inputs: `text`, object [N] of bytes, UTF-8.

        Raises:
            ValueRangeError: A text is not UTF-8.
            ShapeMismatchError: There are too many, or they are too long together.
        """
        texts = inputs["text"]
        if len(texts) > MAX_TEXTS:
            raise ShapeMismatchError("text", expected=f"at most {MAX_TEXTS} texts", received=str(len(texts)))
        tokens = np.empty(len(texts), object)
        tokens[:] = [tokeniser.encode(_decoded(text, row), MAX_TOKENS) for row, text in enumerate(texts)]
        work = sum(map(len, tokens)) + TEXT_WORK * len(texts)
        if work > MAX_WORK:
            expected = (
                f"at most {MAX_WORK} tokens in a request, {TEXT_WORK} for each text counted in; split it"
            )
            raise ShapeMismatchError("text", expected=expected, received=str(work))
        return {"tokens": tokens}

    return Transforms(preprocess, _unchanged, rollout=_embed)


def _unchanged(outputs: Arrays) -> Arrays:
    return outputs


def _decoded(text: bytes, row: int) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as fault:
        raise ValueRangeError(f"text[{row}]", expected="UTF-8 text", received="other bytes") from fault


def _embed(feeds: Arrays, run: Run) -> dict[str, Array]:
    """Return `embedding`, float32 [N, 384], and `tokens`, int64 [N], how many there were in each text."""
    found = np.empty((len(feeds["tokens"]), FEATURES), np.float32)
    for row, tokens in enumerate(feeds["tokens"]):
        ids = np.array([tokens], np.int64)  # (1, S)
        rest = {"attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean = run({"input_ids": ids, **rest})["last_hidden_state"][0].mean(axis=0)
        found[row] = mean / np.linalg.norm(mean)
    return {"embedding": found, "tokens": np.array([len(tokens) for tokens in feeds["tokens"]], np.int64)}
