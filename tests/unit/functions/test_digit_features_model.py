"""What the digit-features model does around its graph."""

from __future__ import annotations

import json

import numpy as np
import pytest

from functions.digit_features.model import FEATURES, SCALER, expanded, transforms
from hotplate.errors import ValueRangeError

STEPS = transforms({SCALER: json.dumps({"mean": [1.0] * 100, "scale": [2.0] * 100}).encode()})


def test_features_are_pixels_then_sums_over_rows_columns_blocks_and_quarters() -> None:
    image = np.zeros((2, 8, 8), np.float32)
    image[1, 2, 5] = 16  # row 2, column 5: block (1, 2), quarter (0, 1)
    found = expanded(image)
    assert (found.shape, found.dtype) == ((2, FEATURES), np.float32)
    assert not found[0].any()
    assert np.flatnonzero(found[1]).tolist() == [2 * 8 + 5, 64 + 2, 72 + 5, 80 + 1 * 4 + 2, 96 + 1]
    assert set(found[1][found[1] > 0].tolist()) == {16.0}


def test_image_and_its_features_are_scaled_alike() -> None:
    image = np.arange(64, dtype=np.float32).reshape(1, 8, 8) % 17
    by_image = STEPS.preprocess({"image": image})["scaled"]
    assert by_image.dtype == np.float32
    np.testing.assert_array_equal(by_image, STEPS.preprocess({"features": expanded(image)})["scaled"])
    np.testing.assert_array_equal(by_image, (expanded(image) - 1) / 2)


@pytest.mark.parametrize("value", [-1.0, 17.0, np.nan])
def test_grey_level_that_is_none_is_refused_by_its_place(value: float) -> None:
    image = np.zeros((2, 8, 8), np.float32)
    image[1, 3, 4] = value
    with pytest.raises(ValueRangeError, match=r"image\[1, 3, 4\]: expected 0 \(paper\) to 16 \(ink\)"):
        STEPS.preprocess({"image": image})


def test_feature_that_is_no_number_is_refused_by_its_place() -> None:
    features = np.zeros((1, FEATURES), np.float32)
    features[0, 99] = np.inf
    with pytest.raises(ValueRangeError, match=r"features\[0, 99\]: expected a finite number, got inf"):
        STEPS.preprocess({"features": features})


def test_the_more_probable_digit_is_named() -> None:
    probabilities = np.eye(10, dtype=np.float32)[[7, 2]]
    found = STEPS.postprocess({"probabilities": probabilities})
    assert (found["digit"].dtype, found["digit"].tolist()) == (np.int64, [7, 2])


def test_asset_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="mean and scale of 100 features"):
        transforms({SCALER: b'{"mean": [1], "scale": [1]}'})
