"""What the dates model does around its graph: text to bytes, eight runs of the graph, digits to a date.

Rules kept here:

1. Pure, NumPy and the standard library only; a text is read the same on every machine and locale.
2. The graph writes one digit a run, each from the text and the digits so far (greedy decoding). All
   texts of a request take their runs together; a shorter one is filled up with 0, which the graph masks.
3. What the graph wrote is an answer only if the calendar has that day.

Axes: N texts, S bytes of the longest, T digits.
"""

from __future__ import annotations

import unicodedata
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import MalformedRequestError, ValueRangeError
from hotplate.runtime.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.runtime.transforms import Run

    Array = np.ndarray[Any, Any]

__all__ = ["DIGITS", "MAX_BYTES", "START", "postprocess", "preprocess", "read", "rollout", "transforms"]

# What stands before the first digit. Source: hotplate_tools.models.dates.network.
START = 10
DIGITS = 8

# Of one text, after `read`. Ours: the longest date that is trained on has 39.
MAX_BYTES = 64


def transforms(assets: Mapping[str, bytes]) -> Transforms:
    """Return the steps, which need no assets."""
    return Transforms(preprocess, postprocess, rollout)


def read(text: str) -> str:
    """Return the text as the network knows it: Unicode NFKC, lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def preprocess(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return `source`, int64 [N, S]: bytes plus 1, then 0 to the end.

    Args:
        inputs: `text`, object [N] of bytes, UTF-8.

    Raises:
        MalformedRequestError: A text is not UTF-8.
        ValueRangeError: A text is empty, or longer than `MAX_BYTES` bytes.
    """
    texts = [_bytes(raw, f"text[{row}]") for row, raw in enumerate(inputs["text"])]
    source = np.zeros((len(texts), max(map(len, texts), default=1)), np.int64)  # (N, S)
    for row, text in enumerate(texts):
        source[row, : len(text)] = np.frombuffer(text, np.uint8).astype(np.int64) + 1
    return {"source": source}


def rollout(feeds: Mapping[str, Array], run: Run) -> dict[str, Array]:
    """Return `digits`, int64 [N, 8], and how sure the graph was of all of them, `confidence`, float32 [N]."""
    source = feeds["source"]
    target = np.full((len(source), 1), START, np.int64)  # (N, 1 + T)
    confidence = np.ones(len(source))
    for _ in range(DIGITS if len(source) else 0):
        (scores,) = run({"source": source, "target": target}).values()  # (N, 1 + T, 10)
        last = np.exp(scores[:, -1] - scores[:, -1].max(axis=1, keepdims=True)).astype(np.float64)
        confidence *= last.max(axis=1) / last.sum(axis=1)
        target = np.concatenate([target, last.argmax(axis=1)[:, None]], axis=1)
    return {"digits": target[:, 1:], "confidence": confidence.astype(np.float32)}


def postprocess(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return `date`, object [N] of bytes: ISO 8601, empty where there is no such day; and `confidence`."""
    dates = np.empty(len(outputs["digits"]), object)
    for row, digits in enumerate(outputs["digits"]):
        dates[row] = _iso("".join(map(str, digits))).encode()
    return {"date": dates, "confidence": outputs["confidence"]}


def _bytes(raw: bytes, place: str) -> bytes:
    try:
        text = read(raw.decode()).encode()
    except UnicodeDecodeError as fault:
        raise MalformedRequestError(
            place, expected="a date in UTF-8", received=f"byte {raw[fault.start]:#04x} at {fault.start}"
        ) from fault
    if not 1 <= len(text) <= MAX_BYTES:
        raise ValueRangeError(place, expected=f"1 to {MAX_BYTES} bytes of text", received=f"{len(text)}")
    return text


def _iso(digits: str) -> str:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).isoformat()
    except ValueError:
        return ""
