"""What the magika model does around its graph; the graph is made up here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from functions.magika.model import CONFIG, CONTENT_TYPES, MAX_FILES, transforms
from hotplate.errors import ShapeMismatchError
from hotplate_tools.training.trainer import objects

if TYPE_CHECKING:
    from hotplate.runtime.transforms import Transforms

    Array = np.ndarray[Any, Any]

LABELS = ["python", "png", "randomtxt"]
SIZES = {"beg_size": 4, "mid_size": 0, "end_size": 4, "block_size": 16, "min_file_size_for_dl": 2}
DOCUMENT: dict[str, Any] = {
    **SIZES,
    "use_inputs_at_offsets": False,
    "padding_token": 256,
    "medium_confidence_threshold": 0.5,
    "target_labels_space": LABELS,
    "thresholds": {"python": 0.9},
    "overwrite_map": {"randomtxt": "txt"},
}
KINDS = {
    "python": {"mime_type": "text/x-python", "is_text": True},
    "png": {"mime_type": "image/png", "is_text": False},
    "randomtxt": {"mime_type": None, "is_text": True},
    "txt": {"mime_type": None, "is_text": True},
    "unknown": {"mime_type": None, "is_text": False},
    "empty": {"mime_type": "inode/x-empty", "is_text": False},
}


def made(**changes: Any) -> Transforms:
    return transforms(
        {CONFIG: json.dumps(DOCUMENT | changes).encode(), CONTENT_TYPES: json.dumps(KINDS).encode()}
    )


def tokens(file: bytes) -> list[int]:
    found: list[int] = made().preprocess({"file": objects([file])})["bytes"][0].tolist()
    return found


def told(*probabilities: float, file: bytes = b"abcdef") -> tuple[bytes, bytes, float]:
    """Return label, MIME type and score of a file for which the network gives these probabilities."""

    def run(feeds: Any) -> dict[str, Array]:
        assert feeds["bytes"].shape == (1, 8)
        return {"target_label": np.array([probabilities], np.float32)}

    found = made().apply({"file": objects([file])}, run)
    return found["label"][0], found["mime_type"][0], float(found["score"][0])


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (b"abcdefgh", [97, 98, 99, 100, 101, 102, 103, 104]),
        (b"abc", [97, 98, 99, 256, 256, 97, 98, 99]),
        (b"  abcdefgh \n", [97, 98, 99, 100, 101, 102, 103, 104]),
        (b"ab" + b"." * 40 + b"yz", [97, 98, 46, 46, 46, 46, 121, 122]),
        # White space is stripped off the block of 16 that is looked at, not off the whole file.
        (b" " * 13 + b"abc" + b"." * 16 + b"xyz" + b"\n" * 13, [97, 98, 99, 256, 256, 120, 121, 122]),
    ],
)
def test_tokens_are_the_two_ends_without_white_space(file: bytes, expected: list[int]) -> None:
    assert tokens(file) == expected


@pytest.mark.parametrize(
    ("probabilities", "label"),
    [
        ((0.95, 0.03, 0.02), b"python"),
        ((0.85, 0.10, 0.05), b"txt"),  # under its own threshold, and text
        ((0.20, 0.55, 0.25), b"png"),
        ((0.30, 0.45, 0.25), b"unknown"),  # under the common threshold, and no text
        ((0.10, 0.10, 0.80), b"txt"),  # a label that is overwritten
    ],
)
def test_label_is_the_best_guess_if_it_is_good_enough(probabilities: tuple[float, ...], label: bytes) -> None:
    found = told(*probabilities)
    assert found[0] == label
    assert found[2] == pytest.approx(max(probabilities))


def test_mime_type_of_a_kind_without_one_is_that_of_text_or_bytes() -> None:
    assert told(0.1, 0.1, 0.8)[1] == b"text/plain"
    assert told(0.3, 0.4, 0.3)[1] == b"application/octet-stream"
    assert told(0, 1, 0)[1] == b"image/png"


@pytest.mark.parametrize(
    ("file", "label"),
    [(b"", b"empty"), (b"a", b"txt"), (b"\xff", b"unknown"), (b"   a", b"txt"), (b" \n\xff", b"unknown")],
)
def test_network_is_not_asked_about_files_of_hardly_a_byte(file: bytes, label: bytes) -> None:
    def run(feeds: Any) -> dict[str, Array]:
        raise AssertionError("it was asked")

    found = made().apply({"file": objects([file])}, run)
    assert found["label"].tolist() == [label]
    assert found["score"].tolist() == [1.0]
    assert found["probabilities"].tolist() == [[0.0, 0.0, 0.0]]


def test_more_files_than_can_be_answered_in_time_are_refused() -> None:
    with pytest.raises(ShapeMismatchError, match=f"at most {MAX_FILES} files, got {MAX_FILES + 1}"):
        made().preprocess({"file": objects([b""] * (MAX_FILES + 1))})


def test_configuration_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="not known here"):
        made(mid_size=4)
    with pytest.raises(ValueError, match=r"content_types\.json does not know zig"):
        made(target_labels_space=["zig"])
