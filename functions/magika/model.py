"""What the magika model does around its graph: the ends of a file to tokens, probabilities to a label.

Rules kept here:

1. Pure, NumPy only; sizes, thresholds and labels come from the version's assets, which are the
   publisher's own files.
2. The answers are those of the publisher's program in its default mode, including the files that it
   decides without the network: empty ones, and those with hardly a byte but white space.
3. One file a run: together with others the graph answers a little otherwise (by up to 0.002), and no faster.

Axes: N files, 2,048 tokens (a byte each, or padding), 214 labels of the network.

Source: magika 1.0.3, `magika/magika.py` (features v2, prediction mode high-confidence).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import ShapeMismatchError
from hotplate.runtime.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Array = np.ndarray[Any, Any]
    Arrays = Mapping[str, Array]
    Run = Callable[[Arrays], Arrays]

__all__ = ["CONFIG", "CONTENT_TYPES", "MAX_FILES", "transforms"]

CONFIG = "config.json"
CONTENT_TYPES = "content_types.json"

# Files in a request. Ours: at some 20 ms each they are answered before API Gateway stops waiting.
MAX_FILES = 256

# What the file is called for which the network is not asked. Source: as in the module's docstring.
_EMPTY, _TEXT, _UNKNOWN = "empty", "txt", "unknown"


@dataclass(frozen=True, slots=True)
class _Config:
    """The publisher's configuration; sizes in bytes."""

    head: int
    tail: int
    block: int
    padding: int
    least: int
    threshold: float
    thresholds: Mapping[str, float]
    labels: tuple[str, ...]
    overwritten: Mapping[str, str]


def transforms(assets: Mapping[str, bytes]) -> Transforms:
    """Return the steps for a version.

    Args:
        assets: `CONFIG` and `CONTENT_TYPES`: `config.min.json` and `content_types_kb.min.json` of magika.

    Raises:
        LookupError, ValueError: An asset is not there, or not that.
    """
    config = _config(json.loads(assets[CONFIG]))
    kinds = json.loads(assets[CONTENT_TYPES])
    is_text = {label: bool(kind["is_text"]) for label, kind in kinds.items()}
    mime_types = {label: _mime_type(kind).encode() for label, kind in kinds.items()}
    unknown = {*config.labels, *config.overwritten.values(), _EMPTY, _TEXT, _UNKNOWN} - set(kinds)
    if unknown:
        raise ValueError(f"{CONTENT_TYPES} does not know {', '.join(sorted(unknown))}")

    def preprocess(inputs: Arrays) -> dict[str, Array]:
        """Return `bytes`, int32 [N, 2048], and `decided`, object [N]: a label without the network, or None.

        Args:
            inputs: `file`, object [N] of bytes.
        """
        files = inputs["file"]
        if len(files) > MAX_FILES:
            raise ShapeMismatchError("file", expected=f"at most {MAX_FILES} files", received=str(len(files)))
        tokens = np.full((len(files), config.head + config.tail), config.padding, np.int32)  # (N, 2048)
        decided = np.empty(len(files), object)
        for row, file in enumerate(files):
            decided[row] = _tokenise(file, config, tokens[row])
        return {"bytes": tokens, "decided": decided}

    def postprocess(outputs: Arrays) -> dict[str, Array]:
        """Return `label`, `mime_type`, `score` and `probabilities`.

        Args:
            outputs: `target_label`, float32 [N, 214], and `decided` as above.
        """
        probabilities = outputs["target_label"]
        labels, scores = [], np.ones(len(probabilities), np.float32)
        for row, decided in enumerate(outputs["decided"]):
            label = decided
            if label is None:
                scores[row] = probabilities[row].max()
                label = _label(int(probabilities[row].argmax()), float(scores[row]), config, is_text)
            labels.append(label)
        return {
            "label": _texts([label.encode() for label in labels]),
            "mime_type": _texts([mime_types[label] for label in labels]),
            "score": scores,
            "probabilities": probabilities,
        }

    return Transforms(
        preprocess, postprocess, rollout=lambda feeds, run: _run(feeds, run, len(config.labels))
    )


def _config(document: Mapping[str, Any]) -> _Config:
    if document["mid_size"] or document["use_inputs_at_offsets"]:
        raise ValueError(f"{CONFIG}: features of the middle or at offsets are not known here")
    return _Config(
        head=document["beg_size"],
        tail=document["end_size"],
        block=document["block_size"],
        padding=document["padding_token"],
        least=document["min_file_size_for_dl"],
        threshold=document["medium_confidence_threshold"],
        thresholds=document["thresholds"],
        labels=tuple(document["target_labels_space"]),
        overwritten=document["overwrite_map"],
    )


def _mime_type(kind: Mapping[str, Any]) -> str:
    return kind["mime_type"] or ("text/plain" if kind["is_text"] else "application/octet-stream")


def _tokenise(file: bytes, config: _Config, tokens: Array) -> str | None:
    """Write a file's tokens, or return what it is without asking the network.

    Args:
        file: Its bytes.
        config: The publisher's.
        tokens: int32 (2048,) of padding; the beginning is aligned to the left, the end to the right.
    """
    if not file:
        return _EMPTY
    head = file[: config.block].lstrip()[: config.head]
    if len(file) < config.least or len(head) < config.least:
        return _TEXT if _is_utf8(file[: config.block]) else _UNKNOWN
    tail = file[-config.block :].rstrip()[-config.tail :]
    tokens[: len(head)] = np.frombuffer(head, np.uint8)
    tokens[len(tokens) - len(tail) :] = np.frombuffer(tail, np.uint8)
    return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _run(feeds: Arrays, run: Run, labels: int) -> dict[str, Array]:
    """Return `target_label`, float32 [N, 214], zeros where it was not asked, and `decided`."""
    tokens, decided = feeds["bytes"], feeds["decided"]
    probabilities = np.zeros((len(tokens), labels), np.float32)
    for row, label in enumerate(decided):
        if label is None:
            probabilities[row] = run({"bytes": tokens[row : row + 1]})["target_label"][0]
    return {"target_label": probabilities, "decided": decided}


def _label(best: int, score: float, config: _Config, is_text: Mapping[str, bool]) -> str:
    """Return the label if its score is high enough for it, else text or unknown."""
    found = config.labels[best]
    label = config.overwritten.get(found, found)
    if score >= config.thresholds.get(found, config.threshold):
        return label
    return _TEXT if is_text[label] else _UNKNOWN


def _texts(cells: list[bytes]) -> Array:
    array = np.empty(len(cells), object)
    array[:] = cells
    return array
